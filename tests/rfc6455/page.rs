//! The page [`frameloop::protocol::conformance`], made of the table.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use crate::table::{Row, parse};

#[test]
fn the_page_is_what_the_table_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol/conformance.md");
    let page = page(&parse(include_str!("requirements.tsv")).unwrap());
    if env::var_os("BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, &page).unwrap();
    }
    let is_the_same = fs::read_to_string(&path).is_ok_and(|text| text == page);
    assert!(is_the_same, "src/protocol/conformance.md is old: write it with `BLESS=1 cargo test --test rfc6455`");
}

#[test]
fn a_row_is_a_line_with_links_and_names_that_break() {
    let table = "id\tsection\tlevel\tbinds\trule\tcode\ttests
5.5-1\t5.5\tMUST\tboth\t[a] <b> `c_d`\tprotocol::frame::Opcode::is_control protocol::frame\tsection_5_5::a_b
5.5-2\t5.5\tMAY\tserver\tpings\t\tunused
5.5-3\t5.5\tMAY\tclient\tpongs\t\tclient
10.2-1\t10.2\tSHOULD\tother\te\t\tproxy
";
    let expected = "
# §5.5

| rule | level | what it says | code | tests |
|---|---|---|---|---|
| 5.5-1 | MUST | \\[a\\] \\<b\\> `c_d` | [`Opcode::is_control`](crate::protocol::frame::Opcode::is_control), \
        [`frame`](crate::protocol::frame) | <code>section_<wbr>5_<wbr>5::a_<wbr>b</code> |
| 5.5-2 | MAY | pings | | *unused* |

<details><summary>1 rule for others</summary>

- 5.5-3 MAY, *client*: pongs

</details>

# §10.2

<details><summary>1 rule for others</summary>

- 10.2-1 SHOULD, *proxy*: e

</details>
";
    let page = page(&parse(table).unwrap());
    assert_eq!(page.strip_prefix(INTRODUCTION), Some(expected));
}

/// The whole page in Markdown.
fn page(rows: &[Row<'_>]) -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in rows.chunk_by(|a, b| a.section == b.section) {
        write!(page, "\n# §{}\n\n", section[0].section).unwrap();
        let (ours, others): (Vec<_>, Vec<_>) =
            section.iter().partition(|row| row.binds_a_server() || !row.tests.is_empty());
        if !ours.is_empty() {
            page.push_str("| rule | level | what it says | code | tests |\n|---|---|---|---|---|\n");
            ours.iter().for_each(|row| page.push_str(&line(row)));
        }
        if !others.is_empty() {
            let separator = if ours.is_empty() { "" } else { "\n" };
            let noun = if others.len() == 1 { "rule" } else { "rules" };
            write!(page, "{separator}<details><summary>{} {noun} for others</summary>\n\n", others.len()).unwrap();
            for Row { id, level, rule, reason, .. } in others {
                writeln!(page, "- {id} {level}, *{}*: {}", reason.unwrap_or_default(), escaped(rule)).unwrap();
            }
            page.push_str("\n</details>\n");
        }
    }
    page
}

/// A row that concerns a server.
fn line(row: &Row<'_>) -> String {
    let links: Vec<String> = row.code.iter().map(|path| format!("[`{}`](crate::{path})", short_name(path))).collect();
    // Long names may break behind each of their words.
    let tests: Vec<String> =
        row.tests.iter().map(|name| format!("<code>{}</code>", name.replace('_', "_<wbr>"))).collect();
    let reason = row.reason.map(|reason| format!("*{reason}*"));
    let (code, tests) = (links.join(", "), reason.unwrap_or(tests.join(", ")));
    let cells = [row.id, row.level, &escaped(row.rule), &code, &tests];
    let cells = cells.map(|cell| if cell.is_empty() { String::new() } else { format!(" {cell}") });
    format!("|{} |\n", cells.join(" |"))
}

/// The last name of a path, and the type before it.
fn short_name(path: &str) -> &str {
    let mut names = path.rmatch_indices("::").map(|(at, _)| at + 2);
    let last = names.next().unwrap_or(0);
    let before = names.next().unwrap_or(0);
    if path[before..].starts_with(char::is_uppercase) { &path[before..] } else { &path[last..] }
}

/// Text in which nothing but code is Markdown.
fn escaped(text: &str) -> String {
    let mut is_code = false;
    let mut escaped = String::new();
    for character in text.chars() {
        is_code ^= character == '`';
        if !is_code && "<>[]*_\\".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

const INTRODUCTION: &str = "\
RFC 6455, rule by rule: what each one says, the code that keeps it and the tests that show it.

This page has a row for each rule of §3 to §10 that the RFC writes with a key word of RFC 2119 (MUST, SHOULD, MAY and so
on), and for some that it writes otherwise. §1 and §2 introduce, §11 to §15 register and acknowledge. `4.4-1` is the first
rule of §4.4; a step of an algorithm has the key word that introduces the algorithm (§2). The rules are in our own words;
where in doubt, read the RFC's.

The tables hold what a server must keep, and what it must check of a client. The code is where the rule is enforced. The
tests lie in `tests/rfc6455`: `cargo test --test rfc6455 section_4_4` runs those of a section. In place of tests can stand
one word:

- *unused*: a MAY of which this server makes no use;
- *tls*: this server has no TLS of its own yet; what terminates it in front is a part of the server in the sense of §4.2;
- *later*: not there yet: the check of `Origin`. Until then a proxy has to do it.

Below each table are the rules for others, and for whom: the *client*; a *proxy*; whoever defines or negotiates an
*extension* (this server accepts none); the *author* of a specification or an application; the *registry* of names.

The page is made of `tests/rfc6455/requirements.tsv`, and a test fails if it is not the same, if a rule has no test, or if
a test has no rule.
";
