//! The tables of the page hold what the code knows: nothing is missing, nothing is made up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::page::{PAGE, between, table, word};
use super::{examples, got, said, values};
use crate::chat::hub::options::{self, Options};
use crate::chat::session::ACCEPTED_MAX;
use crate::chat::wire::request::INFO_BYTES_MAX;
use crate::chat::wire::{ErrorCode, JSON_DEPTH_MAX};
use crate::protocol::limits::RESTRICTED_MESSAGE_BYTES_MAX;
use crate::protocol::{CloseCode, End, Limits};

const READ: &str = include_str!("../../wire/request/read.rs");
const REPLY: &str = include_str!("../../wire/reply.rs");
const WIRE: &str = include_str!("../../wire.rs");
const README: &str = include_str!("../../../../README.md");

/// The first words of the rows of a table.
fn words(header: &str) -> BTreeSet<String> {
    table(header).iter().map(|row| word(row[0]).to_owned()).collect()
}

/// All that stands in a source between these two, wherever it does.
fn all_between(source: &str, from: &str, to: &str) -> BTreeSet<String> {
    source.split(from).skip(1).filter_map(|rest| rest.split_once(to)).map(|(word, _)| word.to_owned()).collect()
}

#[test]
fn each_type_of_the_client_is_in_the_table_and_in_an_example() {
    let body = between(READ, "match message_type {", "name => Err").expect("the list of types");
    let arms: String = body.lines().filter_map(|line| line.split_once("=>")).map(|(types, _)| types).collect();
    let types: BTreeSet<String> = arms.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(types.len(), 8, "{types:?}");
    assert_eq!(words("| request | what it asks for | answer |"), types);
    let shown = values(&examples(said), "type");
    assert!(types.is_subset(&shown), "{types:?} {shown:?}");
}

#[test]
fn each_type_of_the_server_is_in_the_table_and_in_an_example() {
    let types = all_between(REPLY, "Object::message(out, \"", "\"");
    assert_eq!(types.len(), 11, "{types:?}");
    assert_eq!(words("| message | what it tells |"), types);
    assert_eq!(values(&examples(got), "type"), types);
}

#[test]
fn each_reason_of_a_gap_is_in_the_table_and_in_an_example() {
    let reasons = all_between(REPLY, "=> (\"", "\"");
    assert_eq!(words("| reason | what happened | range |"), reasons);
    let gaps: Vec<_> = examples(got).into_iter().filter(|message| message["type"] == "gap").collect();
    assert_eq!(values(&gaps, "reason"), reasons);
}

#[test]
fn each_code_of_an_error_is_in_the_table_and_in_an_example_if_it_is_sent() {
    let list = between(WIRE, "pub fn as_str(self)", "\n    }\n").expect("the list of codes");
    let arms = list.lines().filter_map(|line| line.trim().strip_prefix("ErrorCode::")?.split_once(" => "));
    let codes: BTreeMap<String, &str> =
        arms.map(|(name, code)| (code.trim_matches(['"', ',']).to_owned(), name)).collect();
    assert!(codes.len() >= 16 && codes.contains_key(ErrorCode::Busy.as_str()), "{codes:?}");
    let rows = table("| code | when |");
    assert_eq!(words("| code | when |"), codes.keys().cloned().collect());

    let is_sent = |code: &str| rows.iter().any(|row| word(row[0]) == code && !row[1].starts_with("not sent yet"));
    let mut shown = values(&examples(got), "code");
    shown.insert(ErrorCode::Internal.as_str().to_owned()); // it takes a bug, or a system without random numbers
    assert_eq!(codes.keys().filter(|code| is_sent(code)).cloned().collect::<BTreeSet<_>>(), shown);
    let sources = hub_sources();
    for (code, name) in codes.iter().filter(|(code, _)| !is_sent(code)) {
        assert!(!sources.contains(&format!("ErrorCode::{name}")), "{code} is sent: show it in an example");
    }
}

/// The hub, without its tests.
fn hub_sources() -> String {
    let chat = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/chat");
    let files = std::fs::read_dir(chat.join("hub")).expect("the hub's files").map(|file| file.expect("a file").path());
    let files = files.filter(|file| file.is_file()).chain([chat.join("hub.rs")]);
    files.map(|file| std::fs::read_to_string(file).expect("a source")).collect()
}

#[test]
fn each_close_code_is_in_the_table_with_its_word() {
    let known = (0..=u16::MAX).filter_map(CloseCode::new).map(|code| (code, End::ClosedByUs(code).word()));
    let known: Vec<[String; 2]> = known
        .filter(|(_, word)| *word != "closed")
        .map(|(code, word)| [code.to_string(), format!("`{word}`")])
        .collect();
    let rows = table("| code | word | when | the client |");
    assert_eq!(rows.iter().map(|row| [row[0].to_owned(), row[1].to_owned()]).collect::<Vec<_>>(), known);
    for row in &rows {
        let does = ["stops", "backs off", "returns"].into_iter().find(|does| row[3].starts_with(does));
        let expected = match row[0].parse().expect("a code") {
            1000 | 1002..=1008 | 4000..=4099 => "stops",
            1012 | 4200..=4299 => "returns",
            _ => "backs off",
        };
        assert_eq!(does, Some(expected), "{row:?}");
    }
}

#[test]
fn each_flag_is_in_the_table_with_its_default() {
    let Options {
        resume_window,
        presence_grace,
        hello_timeout,
        rooms_per_session,
        rooms_max,
        waiting_max: _, // these have no flag
        waiting_bytes_max: _,
        unknown_max: _,
        answer_bytes: _,
        state_bytes,
        history,
        history_bytes,
        memory_limit,
        batch_interval,
        rate,
        connections_per_user_max,
        message_bytes,
        ping_interval,
        ping_misses,
    } = Options::default();
    let Limits { queue_bytes_max, slow_timeout, .. } = Limits::default();
    let expected = [
        ("resume-window", seconds(resume_window)),
        ("presence-grace", seconds(presence_grace)),
        ("hello-timeout", seconds(hello_timeout)),
        ("rooms-per-session", count(rooms_per_session)),
        ("max-rooms", count(rooms_max)),
        ("state-bytes", bytes(state_bytes)),
        ("history", count(history)),
        ("history-bytes", bytes(history_bytes)),
        ("memory-limit", bytes(memory_limit)),
        ("batch-interval", batch_interval.map_or("off".to_owned(), seconds)),
        ("rate", rate.map_or("off".to_owned(), |rate| rate.to_string())),
        ("max-per-user", connections_per_user_max.map_or("off".to_owned(), count)),
        ("max-message", bytes(message_bytes)),
        ("max-queue", bytes(queue_bytes_max)),
        ("slow-timeout", seconds(slow_timeout)),
        ("ping-interval", seconds(ping_interval)),
        ("ping-misses", count(ping_misses.into())),
    ]
    .map(|(flag, default)| (format!("--{flag}"), default));
    let rows = table("| flag | default | what it bounds |");
    let shown: Vec<(String, String)> = rows.iter().map(|row| (word(row[0]).to_owned(), row[1].to_owned())).collect();
    assert_eq!(shown, expected);
    let help = between(README, "$ frameloop --help\n", "```").expect("the help").to_owned() + "\n  --";
    for (flag, default) in expected {
        // The README shows what --help prints, with numbers as one types them.
        let help = between(&help, &format!("\n  {flag} "), "\n  --").expect(&flag);
        assert!(help.contains(&default.replace([' ', ','], "")), "{flag}: {default} is not in {help}");
    }
    for flag in PAGE.split('`').filter(|text| text.starts_with("--")) {
        let name = flag.split(' ').next().unwrap_or(flag);
        let is_known = shown.iter().any(|(known, _)| known == name) || help.contains(&format!("\n  {name} "));
        assert!(is_known, "{flag}");
    }
}

#[test]
fn each_bound_is_in_the_table_with_its_value() {
    let expected = [
        ("messages in an array", count(options::BATCH_MAX)),
        ("bytes of an array to a client", bytes(options::BATCH_BYTES_MAX)),
        ("nesting of a message", count(JSON_DEPTH_MAX)),
        ("nesting of a state", count(options::STATE_DEPTH_MAX)),
        ("bytes of `info`", count(INFO_BYTES_MAX)),
        ("patches kept of a room", count(options::PATCHES_MAX)),
        ("bytes of patches kept of a room", bytes(options::PATCHES_BYTES_MAX)),
        ("bytes of states and members in an answer", bytes(Options::default().answer_bytes)),
        ("bytes that wait where a signal is left out", bytes(options::SIGNAL_QUEUE_BYTES_MAX)),
        ("sessions in a room that are told one by one", count(options::PRESENCE_MAX)),
        ("ids of chats that a session remembers", count(ACCEPTED_MAX)),
        ("sessions without a connection", count(Options::default().waiting_max)),
        ("sessions without a connection of one user", count(options::ABSENT_PER_USER_MAX)),
        ("clients that have not shown who they are, where they have to", count(Options::default().unknown_max)),
        ("bytes of a message of theirs", bytes(RESTRICTED_MESSAGE_BYTES_MAX)),
        (
            "bytes of what sessions without a connection say of themselves, and of the ids of their chats",
            bytes(Options::default().waiting_bytes_max),
        ),
        ("time over which a restart spreads the clients", seconds(options::RESTART_SPREAD)),
    ]
    .map(|(what, value)| (what.to_owned(), value));
    let rows = table("| bound | value | beyond it |");
    let shown: Vec<(String, String)> = rows.iter().map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
    assert_eq!(shown, expected);
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

fn bytes(bytes: usize) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.into_iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    unit.map_or_else(|| count(bytes), |(name, unit)| format!("{} {name}", bytes / unit))
}

fn count(count: usize) -> String {
    if count < 1000 { count.to_string() } else { format!("{},{:03}", count / 1000, count % 1000) }
}
