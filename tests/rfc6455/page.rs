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
5.5-1\t5.5\tMUST\tboth\t[a] <b> `c_d`\tprotocol::frame::Opcode::is_control protocol::frame server/peer.rs#flush\tsection_5_5::a_b
5.5-2\t5.5\tMAY\tserver\tpings\t\tunused
5.5-3\t5.5\tMAY\tclient\tpongs\t\tclient
10.2-1\t10.2\tSHOULD\tother\te\t\tproxy
";
    let expected = "
# §5.5 Control Frames

| rule | level | what it says | code | tests |
|---|---|---|---|---|
| 5.5-1 | MUST | \\[a\\] \\<b\\> `c_d` | [`Opcode::is_control`](crate::protocol::frame::Opcode::is_control), \
        [`frame`](crate::protocol::frame), [`flush`](../../../src/frameloop/server/peer.rs.html) | <code>section_<wbr>5_<wbr>5::a_<wbr>b</code> |
| 5.5-2 | MAY | pings | | *unused* |

<details><summary>1 rule for others</summary>

- 5.5-3 MAY, *client*: pongs

</details>

# §10.2 Origin Considerations

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
        let number = section[0].section;
        let (_, title) = TITLES.iter().find(|(section, _)| *section == number).expect("each section has a title");
        write!(page, "\n# §{number} {title}\n\n").unwrap();
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
    let links: Vec<String> = row.code.iter().copied().map(link).collect();
    // Long names may break behind each of their words.
    let tests: Vec<String> =
        row.tests.iter().map(|name| format!("<code>{}</code>", name.replace('_', "_<wbr>"))).collect();
    let reason = row.reason.map(|reason| format!("*{reason}*"));
    let (code, tests) = (links.join(", "), reason.unwrap_or(tests.join(", ")));
    let cells = [row.id, row.level, &escaped(row.rule), &code, &tests];
    let cells = cells.map(|cell| if cell.is_empty() { String::new() } else { format!(" {cell}") });
    format!("|{} |\n", cells.join(" |"))
}

/// A public item of the crate, or a function in the view of its source: what is private has no page.
fn link(code: &str) -> String {
    match code.split_once('#') {
        Some((file, function)) => format!("[`{function}`](../../../src/frameloop/{file}.html)"),
        None => format!("[`{}`](crate::{code})", short_name(code)),
    }
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
on) in capitals. Of those in small letters it has the five, marked as such, that say what a server sends and takes once
the connection is open; the others explain, repeat or advise. §1 and §2 introduce; §11 registers what the others define,
and where it says which header fields stand once (§11.3), that is kept with the rules of §4. `4.4-1` is the first rule of
§4.4; a step of an algorithm has the key word that introduces the algorithm (§2). The rules are in our own words; where in
doubt, read the RFC's.

The tables hold what a server must keep, and what it must check of a client. The code is where the rule is enforced. The
tests lie in `tests/rfc6455`: `cargo test --test rfc6455 section_5_5` runs those of §5.5 with all that is below it. Numbers
that a table leaves out are those of rules for others, folded below it. In place of tests can stand *unused*: a MAY of
which this server makes no use.

Two things go beyond the RFC's letter: a version of HTTP above 1 is refused, since none is written like this; and the
target may be a `ws` or `wss` URI.

Below each table are the rules for others, and for whom: the *client*; a *proxy*; whoever defines or negotiates an
*extension*. This server knows one, permessage-deflate, which is off unless [`Compression`](crate::protocol::Compression) is
asked for; its own rules are those of RFC 7692.

The page is made of `tests/rfc6455/requirements.tsv`, and a test fails if it is not the same, if a rule has no test, or if
a test has no rule.
";

/// The RFC's own titles.
const TITLES: [(&str, &str); 37] = [
    ("3", "WebSocket URIs"),
    ("4.1", "Client Requirements"),
    ("4.2", "Server-Side Requirements"),
    ("4.2.1", "Reading the Client's Opening Handshake"),
    ("4.2.2", "Sending the Server's Opening Handshake"),
    ("4.3", "Collected ABNF for New Header Fields Used in Handshake"),
    ("4.4", "Supporting Multiple Versions of WebSocket Protocol"),
    ("5.1", "Overview"),
    ("5.2", "Base Framing Protocol"),
    ("5.3", "Client-to-Server Masking"),
    ("5.4", "Fragmentation"),
    ("5.5", "Control Frames"),
    ("5.5.1", "Close"),
    ("5.5.2", "Ping"),
    ("5.5.3", "Pong"),
    ("5.6", "Data Frames"),
    ("5.8", "Extensibility"),
    ("6.1", "Sending Data"),
    ("6.2", "Receiving Data"),
    ("7.1.1", "Close the WebSocket Connection"),
    ("7.1.2", "Start the WebSocket Closing Handshake"),
    ("7.1.7", "Fail the WebSocket Connection"),
    ("7.2.1", "Client-Initiated Closure"),
    ("7.2.2", "Server-Initiated Closure"),
    ("7.2.3", "Recovering from Abnormal Closure"),
    ("7.3", "Normal Closure of Connections"),
    ("7.4", "Status Codes"),
    ("7.4.1", "Defined Status Codes"),
    ("8.1", "Handling Errors in UTF-8-Encoded Data"),
    ("9", "Extensions"),
    ("9.1", "Negotiating Extensions"),
    ("9.2", "Known Extensions"),
    ("10.2", "Origin Considerations"),
    ("10.3", "Attacks On Infrastructure (Masking)"),
    ("10.4", "Implementation-Specific Limits"),
    ("10.6", "Connection Confidentiality and Integrity"),
    ("10.7", "Handling of Invalid Data"),
];
