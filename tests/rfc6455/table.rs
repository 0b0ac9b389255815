//! The checks of `requirements.tsv`, the table of the rules of RFC 6455. One row is one rule:
//!
//! | column | what |
//! |---|---|
//! | `id` | `5.5-2`: the second rule of §5.5 |
//! | `section` | `5.5`, as exact as the RFC numbers it |
//! | `level` | the key word of RFC 2119. A step of an algorithm has the word that introduces the algorithm (§2) |
//! | `binds` | `server`, `client`, `both` or `other` |
//! | `rule` | the rule in our own words |
//! | `code` | where it is enforced: public items of the crate, or functions (`server/mod.rs#settle_peer`), a blank between |
//! | `tests` | the tests that show it, as `section_5_5::name`; or the one word why there are none |
//!
//! The words: what binds others is a matter for the `client`, for a `proxy`, or for whoever defines or negotiates an
//! `extension` (this server knows one, permessage-deflate, which has an RFC of its own). What binds a server, and is not in the tests, is a MAY that is `unused`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// By section: its normative sentences, and its rows, of which a sentence of two rules has two. A normative sentence has a
/// key word of RFC 2119 in capitals. A table cell, a list item and a comment of an ABNF are sentences. So is what follows
/// the semicolon in §5.5.1 ("…immediately; the client SHOULD wait…"), and so are the comments at RSV1 to RSV3 in the ABNF
/// of §5.2, which are the same three times. Both numbers are exact: a row that is lost or added must be so here too.
const SECTIONS: [(&str, usize, usize); 37] = [
    ("3", 3, 3),
    ("4.1", 42, 47),
    ("4.2", 1, 1),
    ("4.2.1", 2, 12),
    ("4.2.2", 12, 20),
    ("4.3", 1, 1),
    ("4.4", 1, 1),
    ("5.1", 7, 7),
    ("5.2", 10, 11),
    ("5.3", 3, 4),
    ("5.4", 12, 13),
    ("5.5", 1, 2),
    ("5.5.1", 11, 14),
    ("5.5.2", 4, 4),
    ("5.5.3", 2, 3),
    ("5.6", 1, 1),
    ("5.8", 1, 1),
    ("6.1", 9, 9),
    ("6.2", 7, 7),
    ("7.1.1", 5, 6),
    ("7.1.2", 2, 2),
    ("7.1.7", 6, 8),
    ("7.2.1", 3, 3),
    ("7.2.2", 1, 1),
    ("7.2.3", 4, 4),
    ("7.3", 2, 2),
    ("7.4", 1, 1),
    ("7.4.1", 6, 6),
    ("8.1", 1, 1),
    ("9", 3, 4),
    ("9.1", 7, 7),
    ("9.2", 1, 1),
    ("10.2", 2, 2),
    ("10.3", 1, 1),
    ("10.4", 2, 3),
    ("10.6", 1, 2),
    ("10.7", 4, 4),
];

/// Why a row has no tests, and whom it may then bind.
const REASONS: [(&str, &[&str]); 4] =
    [("client", &["client"]), ("proxy", &["other"]), ("extension", &["other"]), ("unused", SERVER)];

const SERVER: &[&str] = &["server", "both"];
const LEVELS: [&str; 10] =
    ["MUST", "MUST NOT", "REQUIRED", "SHALL", "SHALL NOT", "SHOULD", "SHOULD NOT", "RECOMMENDED", "MAY", "OPTIONAL"];
const HEADER: &str = "id\tsection\tlevel\tbinds\trule\tcode\ttests";

/// A rule.
#[derive(Debug)]
pub(crate) struct Row<'t> {
    pub(crate) id: &'t str,
    pub(crate) section: &'t str,
    pub(crate) level: &'t str,
    pub(crate) binds: &'t str,
    pub(crate) rule: &'t str,
    pub(crate) code: Vec<&'t str>,
    /// As `section_5_5::name`.
    pub(crate) tests: Vec<&'t str>,
    /// Why there are none.
    pub(crate) reason: Option<&'t str>,
}

impl<'t> Row<'t> {
    fn parse(line: &'t str) -> Option<Row<'t>> {
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, section, level, binds, rule, code, tests] = columns[..] else { return None };
        let (tests, reason) = match tests.split_whitespace().collect::<Vec<_>>()[..] {
            [word] if !word.contains("::") => (Vec::new(), Some(word)),
            ref names => (names.to_vec(), None),
        };
        Some(Row { id, section, level, binds, rule, code: code.split_whitespace().collect(), tests, reason })
    }

    pub(crate) fn binds_a_server(&self) -> bool {
        SERVER.contains(&self.binds)
    }

    fn may_be_left(&self) -> bool {
        ["MAY", "OPTIONAL"].contains(&self.level)
    }

    /// The numbers of the section, and that of the rule.
    fn position(&self) -> Option<(Vec<u32>, u32)> {
        let number = self.id.strip_prefix(self.section)?.strip_prefix('-')?.parse().ok()?;
        let section: Option<Vec<u32>> = self.section.split('.').map(|part| part.parse().ok()).collect();
        Some((section?, number))
    }

    /// What is wrong with the row alone.
    fn faults(&self, tests: &BTreeSet<String>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, fault: String| faults.extend((!holds).then_some(format!("{}: {fault}", self.id)));
        check(self.position().is_some(), format!("no number of a rule in section {:?}", self.section));
        check(LEVELS.contains(&self.level), format!("{:?} is no level", self.level));
        check(["server", "client", "both", "other"].contains(&self.binds), format!("{:?} binds nobody", self.binds));
        let rule_len = self.rule.chars().count();
        check((1..=200).contains(&rule_len) && !self.rule.contains('|'), format!("a rule of {rule_len} characters"));
        check(!self.tests.is_empty() || self.reason.is_some(), "neither tests nor a reason".to_owned());
        check(self.tests.is_empty() == self.code.is_empty(), "code and tests come together".to_owned());
        for (file, function) in self.code.iter().filter_map(|path| path.split_once('#')) {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
            let is_there = fs::read_to_string(source).is_ok_and(|text| text.contains(&format!("fn {function}")));
            check(is_there, format!("there is no function {function} in src/{file}"));
        }
        for name in &self.tests {
            check(tests.contains(*name), format!("there is no test {name}"));
        }
        if let Some(word) = self.reason {
            let binds = REASONS.iter().find(|(reason, _)| *reason == word).map_or(&[][..], |(_, binds)| binds);
            check(binds.contains(&self.binds), format!("{word:?} is no reason for what binds {}", self.binds));
            let is_excused = !self.binds_a_server() || self.may_be_left();
            check(is_excused, format!("a {} that binds {} has no tests", self.level, self.binds));
        }
        faults
    }
}

/// The rows of a table.
pub(crate) fn parse(table: &str) -> Result<Vec<Row<'_>>, Vec<String>> {
    let (header, lines) = table.split_once('\n').unwrap_or((table, ""));
    if header != HEADER {
        return Err(vec![format!("the header is {header:?}")]);
    }
    let rows: Vec<_> = lines.lines().map(|line| Row::parse(line).ok_or(line)).collect();
    let broken = |row: &Result<Row<'_>, &str>| row.as_ref().err().map(|line| format!("not 7 columns: {line:?}"));
    let faults: Vec<String> = rows.iter().filter_map(broken).collect();
    if faults.is_empty() { Ok(rows.into_iter().flatten().collect()) } else { Err(faults) }
}

/// What is wrong with a table, given the tests that there are and the numbers of sentences and rows by section.
fn faults(table: &str, tests: &BTreeSet<String>, sections: &[(&str, usize, usize)]) -> Vec<String> {
    let rows = match parse(table) {
        Ok(rows) => rows,
        Err(faults) => return faults,
    };
    let mut faults: Vec<String> = rows.iter().flat_map(|row| row.faults(tests)).collect();
    for pair in rows.windows(2) {
        let [Some((section_before, before)), Some((section, number))] = [pair[0].position(), pair[1].position()] else {
            continue; // a fault of the row
        };
        if !(section == section_before && number == before + 1 || section > section_before && number == 1) {
            faults.push(format!("{} follows {}", pair[1].id, pair[0].id));
        }
    }
    for &(section, sentences, expected) in sections {
        let count = rows.iter().filter(|row| row.section == section).count();
        if count != expected || count < sentences {
            faults.push(format!("§{section}: {count} rows, not {expected}, for {sentences} sentences"));
        }
    }
    let is_known = |row: &&Row<'_>| sections.iter().any(|(section, ..)| *section == row.section);
    faults
        .extend(rows.iter().filter(|row| !is_known(row)).map(|row| format!("{}: of a section that has none", row.id)));
    let named: BTreeSet<&str> = rows.iter().flat_map(|row| &row.tests).copied().collect();
    let unnamed = tests.iter().filter(|name| !named.contains(name.as_str()));
    faults.extend(unnamed.map(|name| format!("no row names the test {name}")));
    faults
}

/// The names of the tests in a source, as `module::name`.
fn tests_of(module: &str, source: &str) -> Vec<String> {
    let mut tests = Vec::new();
    let mut lines = source.lines().map(str::trim);
    while lines.any(|line| line == "#[test]") {
        let function = lines.find(|line| !line.starts_with("#[should_panic")).unwrap_or_default();
        let name = function.strip_prefix("fn ").and_then(|rest| rest.split_once("()"));
        let (name, _) = name.unwrap_or_else(|| panic!("{module}: no plain test, and so it may not run: {function:?}"));
        tests.push(format!("{module}::{name}"));
    }
    tests
}

/// The tests of all sections.
fn tests_in_the_sources() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rfc6455");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sections = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("section_"));
    let tests = sections.flat_map(|path| {
        let module = path.file_stem().unwrap().to_str().unwrap();
        let is_declared = include_str!("main.rs").lines().any(|line| line == format!("mod {module};"));
        assert!(is_declared, "{module} is not a part of this crate");
        tests_of(module, &fs::read_to_string(&path).unwrap())
    });
    tests.collect()
}

#[test]
fn each_rule_has_its_tests_and_each_test_its_rule() {
    let table = include_str!("requirements.tsv");
    let faults = faults(table, &tests_in_the_sources(), &SECTIONS);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    let rows = parse(table).unwrap();
    for (reason, _) in REASONS {
        assert!(rows.iter().any(|row| row.reason == Some(reason)), "no row has the reason {reason:?}");
    }
}

#[test]
fn the_rfc_has_182_normative_sentences_in_sections_3_to_10() {
    assert_eq!(SECTIONS.iter().map(|(_, sentences, _)| sentences).sum::<usize>(), 182);
}

const GOOD: &str = "id\tsection\tlevel\tbinds\trule\tcode\ttests
5.5-1\t5.5\tMUST\tboth\tshort control frames\tprotocol::frame\tsection_5_5::short section_5_5::shorter
5.5-2\t5.5\tMAY\tserver\tpings\t\tunused
5.5.1-1\t5.5.1\tMUST NOT\tclient\tno display\t\tclient
10.2-1\t10.2\tSHOULD\tclient\tsay where from\t\tclient
";

/// The faults of that table with `from` replaced.
fn faults_with(from: &str, to: &str) -> Vec<String> {
    let tests = ["short", "shorter"].map(|name| format!("section_5_5::{name}")).into();
    let sections = [("5.5", 1, 2), ("5.5.1", 1, 1), ("10.2", 1, 1)];
    assert!(GOOD.contains(from), "{from:?}");
    faults(&GOOD.replacen(from, to, 1), &tests, &sections)
}

#[test]
fn a_planted_fault_of_a_table_is_found() {
    assert_eq!(faults_with("", ""), [""; 0]);
    for (from, to, fault) in [
        ("section\t", "", "the header is"),
        ("short control frames\t", "", "not 7 columns"),
        (" section_5_5::shorter", "", "no row names the test section_5_5::shorter"),
        ("5::shorter", "5::longer", "5.5-1: there is no test section_5_5::longer"),
        ("section_5_5::short section_5_5::shorter", "", "5.5-1: neither tests nor a reason"),
        ("section_5_5::short section_5_5::shorter", "unused", "5.5-1: a MUST that binds both has no tests"),
        ("section_5_5::short section_5_5::shorter", "client", "5.5-1: \"client\" is no reason for what binds both"),
        ("protocol::frame", "", "5.5-1: code and tests come together"),
        ("protocol::frame", "server/mod.rs#gone", "5.5-1: there is no function gone in src/server/mod.rs"),
        ("protocol::frame", "server/none.rs#read", "5.5-1: there is no function read in src/server/none.rs"),
        ("unused", "whim", "5.5-2: \"whim\" is no reason"),
        ("MAY", "SHOULD", "5.5-2: a SHOULD that binds server has no tests"),
        ("MAY", "CAN", "5.5-2: \"CAN\" is no level"),
        ("\tclient\tno display", "\tall\tno display", "5.5.1-1: \"all\" binds nobody"),
        ("no display", "", "5.5.1-1: a rule of 0 characters"),
        ("5.5-2\t5.5\tMAY\tserver\tpings\t\tunused\n", "", "§5.5: 1 rows, not 2, for 1 sentences"),
        ("5.5.1-1\t5.5.1\tMUST NOT\tclient\tno display\t\tclient\n", "", "§5.5.1: 0 rows, not 1, for 1 sentences"),
        ("10.2-1\t10.2", "10.4-1\t10.4", "10.4-1: of a section that has none"),
        ("5.5-2", "5.5-1", "5.5-1 follows 5.5-1"),
        ("5.5-2", "5.5-3", "5.5-3 follows 5.5-1"),
        ("5.5.1-1", "5.5.1-2", "5.5.1-2 follows 5.5-2"),
        ("10.2-1\t10.2", "5.4-1\t5.4", "5.4-1 follows 5.5.1-1"),
        ("5.5-2", "5.5.2", "5.5.2: no number of a rule in section \"5.5\""),
        ("5.5-2", "5.6-1", "5.6-1: no number of a rule in section \"5.5\""),
    ] {
        let faults = faults_with(from, to);
        assert!(faults.iter().any(|found| found.starts_with(fault)), "{from:?} to {to:?}: {faults:?}");
    }
}

#[test]
fn tests_are_read_from_a_source() {
    let source =
        "#[test]\nfn one() {}\n// #[test]\nfn two() {}\n    #[test]\n    fn three() {\n    }\n#[cfg(test)]\nfn x() {}";
    assert_eq!(tests_of("section_9", source), ["section_9::one", "section_9::three"]);
    assert_eq!(tests_of("section_9", ""), [""; 0]);
    let ignored = std::panic::catch_unwind(|| tests_of("section_9", "#[test]\n#[ignore]\nfn one() {}"));
    assert!(ignored.is_err(), "a test that does not run shows nothing");
}
