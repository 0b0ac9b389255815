//! Every attack that is known to have broken a WebSocket server or an event loop, and the tests that show what this
//! server does instead.
//!
//! A row's tests in this crate begin with its name. Where another crate's tests show it, they stand in the table;
//! what is otherwise stands there with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Row {
    /// H: opening handshake, F: frames, R: resources, L: liveness, J: JSON, A: who may come in.
    name: &'static str,
    attack: &'static str,
    /// Tests of other crates, as `crate::file::test`.
    elsewhere: &'static [&'static str],
    /// What this server does otherwise than one could ask, and why.
    but: &'static str,
}

const fn row(name: &'static str, attack: &'static str) -> Row {
    Row { name, attack, elsewhere: &[], but: "" }
}

impl Row {
    const fn elsewhere(self, elsewhere: &'static [&'static str]) -> Row {
        Row { elsewhere, ..self }
    }

    const fn but(self, but: &'static str) -> Row {
        Row { but, ..self }
    }
}

#[rustfmt::skip] // a row begins with its name
const ROWS: [Row; 67] = [
    row("H1", "an endless head, parsed anew with each read"),
    row("H2", "thousands of headers"),
    row("H3", "lists that take quadratic time; names that are special elsewhere"),
    row("H4", "a head of a byte a second, or silence"),
    row("H5", "numbers with a sign"),
    row("H6", "a body whose bytes are read as frames"),
    row("H7", "headers that stand twice; no Host"),
    row("H8", "folded lines, bare CR and LF, NUL, blanks before a colon"),
    row("H9", "Connection by substring, or by its first line only"),
    row("H10", "a key that is not 16 bytes of base64"),
    row("H11", "a response split through what it echoes"),
    row("H12", "a page of another site opens the connection"),
    row("H13", "a head in pieces, frames in its segment"),
    row("H14", "lines of the log forged by what a peer sends")
        .elsewhere(&["binary::log::text_of_a_peer_is_escaped_and_cut",
            "binary::log::a_close_reason_of_a_peer_cannot_forge_a_line",
            "binary::log::invalid_messages_are_logged_at_most_once_a_second_and_all_are_counted",
            "binary::network::a_refused_page_is_named_in_the_log_with_the_flag_that_would_let_it_in"]),
    row("H15", "a header that is not there"),

    row("F1", "a length with its top bit, or one that wraps a sum"),
    row("F2", "a length that is only announced"),
    row("F3", "a reserved opcode past the check of the size"),
    row("F4", "a control frame that is too long or in fragments"),
    row("F5", "a message without end"),
    row("F6", "a message in a million fragments"),
    row("F7", "pieces that are joined anew each time"),
    row("F8", "empty fragments and messages")
        .elsewhere(&["protocol::sending::pongs_for_a_peer_that_does_not_read_are_bounded_and_the_newest_is_kept"]),
    row("F9", "frames that are not masked"),
    row("F10", "a length in too long a form"),
    row("F11", "text that is not UTF-8, cut anywhere"),
    row("F12", "close codes and reasons that must not be sent"),
    row("F13", "frames behind a Close")
        .elsewhere(&["server::closing::a_close_arrives_although_the_client_goes_on_sending",
            "server::closing::a_close_arrives_at_a_client_that_never_stops_sending",
            "server::closing::a_client_that_does_not_end_its_side_is_dropped_at_the_end_of_the_time"]),
    row("F14", "a compressed bomb"),
    row("F15", "a good frame behind a broken one"),

    row("R1", "a reader that is slow or stands still")
        .elsewhere(&["server::slowness::a_reader_that_takes_nothing_is_closed_at_the_end_of_the_time",
            "server::slowness::a_reader_that_always_takes_a_little_lives_on",
            "server::slowness::a_slow_reader_that_does_not_even_take_the_close_is_dropped"])
        .but("by default up to 4 MiB wait for one peer, a decision that Limits explains; less is a flag away"),
    row("R2", "pings from a peer that does not read"),
    row("R3", "errors for a peer that does not read"),
    row("R4", "memory that control frames leave behind")
        .but("a million are sent: ten would take minutes, and what grows with each frame shows with one million, too"),
    row("R5", "no descriptor is left")
        .elsewhere(&["binary::descriptors::when_descriptors_run_out_nobody_is_left_hanging_and_nothing_spins",
            "binary::descriptors::peers_that_wait_at_the_limit_get_in_as_soon_as_there_is_room"]),
    row("R6", "many connections, one event"),
    row("R7", "half-closed and reset connections in the loop"),
    row("R8", "a reset in every state"),
    row("R9", "an event for a connection that is gone"),
    row("R10", "one peer that never stops sending"),
    row("R11", "handshakes that are never finished"),
    row("R12", "a thousand messages that are only begun"),
    row("R13", "one message to very many"),
    row("R14", "urgent data"),
    row("R15", "keys that collide in a map"),
    row("R16", "connections without number")
        .elsewhere(&["binary::descriptors::by_default_what_the_limit_of_open_files_leaves_is_the_number_of_connections"]),
    row("R17", "all come back at once")
        .elsewhere(&["binary::signals::each_client_gets_close_1001_and_the_exit_code_is_0",
            "binary::signals::clients_that_do_not_answer_delay_the_end_by_the_close_timeout_and_no_more",
            "binary::signals::the_same_port_can_be_taken_again_at_once"])
        .but("a stop tells all in one moment: the Close frames are not spread over some seconds. At the door \
            4096 can wait (server::tcp), of which the system may allow fewer"),

    row("L1", "a peer that is gone without a word")
        .elsewhere(&["protocol::liveness::at_the_tick_after_three_unanswered_pings_the_peer_is_dropped_with_4201"])
        .but("TCP_USER_TIMEOUT is not set: the deadlines of pings and of slow readers end such a peer, and drop its transport"),
    row("L2", "a clock that jumps, a machine that sleeps")
        .elsewhere(&["protocol::liveness::a_tick_that_is_later_than_a_whole_interval_drops_nobody"]),
    row("L3", "all timers in one tick"),
    row("L4", "timers that traffic holds up"),
    row("L5", "data, but no pong")
        .elsewhere(&["protocol::liveness::any_byte_that_comes_is_a_sign_of_life"]),
    row("L6", "a peer that never completes the close")
        .elsewhere(&["server::stopping::those_who_do_not_answer_are_dropped_at_the_end_of_the_time"]),

    row("J1", "nesting without end"),
    row("J2", "a name that stands twice")
        .but("inside of another value it is passed on as it was sent: what a member holds is between the clients"),
    row("J3", "huge numbers, very many names"),
    row("J4", "half a surrogate pair"),
    row("J5", "what only lenient parsers take"),
    row("J6", "a binary message in a chat"),
    row("J7", "control characters in a message"),

    row("A1", "a page of another name leads to this machine, or came without TLS")
        .elsewhere(&["server::origins::on_loopback_any_page_of_loopback_may_connect_by_a_name_of_loopback",
            "server::origins::a_page_of_plain_http_is_of_the_same_host_where_the_connection_is_plain_too",
            "binary::network::the_flag_that_the_log_names_lets_the_page_in"]),
    row("A2", "a token of another key, another user, without an algorithm or a signature, or one that is over")
        .elsewhere(&["binary::auth::a_signed_token_is_good_until_it_is_over_and_never_if_it_was_changed",
            "binary::auth::each_way_to_show_a_token_lets_in_with_a_good_one_and_not_with_another"]),
    row("A3", "secrets in the log, or guessed by the time of the answer")
        .elsewhere(&["binary::auth::what_is_wrong_with_a_file_is_named_with_its_line_and_without_its_secrets",
            "binary::auth::the_log_says_why_somebody_was_not_let_in"])
        .but("no test measures times: secrets are compared in constant time, tokens found by a keyed hash"),
    row("A4", "a token that is taken back while its connection lives")
        .elsewhere(&["binary::auth::sighup_reads_the_list_again_and_a_broken_one_changes_nothing"]),
    row("A5", "an address or a host that the client makes up, by X-Forwarded-* or PROXY")
        .elsewhere(&["server::addresses::what_a_trusted_proxy_must_not_write_is_refused",
            "server::proxy_protocol::behind_a_header_that_names_nobody_the_client_cannot_choose_its_address_or_host",
            "server::addresses::where_proxies_speak_first_a_stranger_is_dropped"]),
    row("A6", "one address, one user, or whoever shows no token takes all places")
        .elsewhere(&["server::addresses::a_crowd_over_the_limit_of_its_address_takes_no_place_of_others",
            "binary::auth::a_rate_and_a_number_of_connections_of_a_user_hold",
            "binary::auth::whoever_is_not_known_yet_may_say_no_more_than_a_hello"]),
    row("A7", "TLS that renegotiates, is broken, never done, cut in records of a byte, or not there")
        .elsewhere(&["tls::openssl::renegotiation_is_refused_and_disturbs_nobody",
            "tls::handshakes::broken_ciphertext_ends_its_connection_alone",
            "tls::handshakes::who_stops_in_the_midst_of_the_handshake_is_dropped_at_the_end_of_the_time",
            "tls::layer::records_of_a_byte_each_use_up_a_share_as_full_ones_do",
            "tls::handshakes::plain_http_is_told_that_this_port_speaks_tls"]),
];

#[test]
fn every_row_has_its_tests() {
    let here = tests_of_this_crate();
    let is_here = |row: &Row| here.iter().any(|test| row_of(test).is_some_and(|name| name == row.name));
    for row in &ROWS {
        let Row { name, attack, but, .. } = row;
        assert!(is_here(row) || !row.elsewhere.is_empty(), "{name}: {attack}: no test; {but}");
        for test in row.elsewhere {
            assert!(is_test_elsewhere(test), "{}: there is no test {test}", row.name);
        }
    }
}

#[test]
fn every_test_of_this_crate_belongs_to_a_row() {
    let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
    assert_eq!(rows.len(), ROWS.len(), "a row stands twice");
    let tests = tests_of_this_crate();
    assert!(tests.len() > 40, "{tests:?}");
    for test in tests.iter().filter(|test| !test.starts_with("rows::")) {
        assert!(row_of(test).is_some_and(|row| rows.contains(row.as_str())), "{test} begins with the name of no row");
    }
}

/// `H1` of `handshake::h1_an_endless_head`.
fn row_of(test: &str) -> Option<String> {
    let (name, _) = test.rsplit("::").next()?.split_once('_')?;
    Some(name.to_ascii_uppercase())
}

/// The tests that this program has.
fn tests_of_this_crate() -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// Whether there is such a test in the sources: its file is a module of its crate, and it stands there as a test.
fn is_test_elsewhere(test: &str) -> bool {
    let parts: Vec<&str> = test.split("::").collect();
    let &[name_of_crate, module, name] = &parts[..] else { return false };
    let directory: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name_of_crate);
    let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap_or_default();
    let is_module = read("main.rs").lines().any(|line| line == format!("mod {module};"));
    let source = read(&format!("{module}.rs"));
    is_module && source.split("\n#[test]\n").skip(1).any(|test| test.starts_with(&format!("fn {name}()")))
}

#[test]
fn a_test_that_is_not_there_is_missed() {
    assert!(is_test_elsewhere("server::echo::messages_of_all_sizes_come_back_with_their_type"));
    for missing in ["server::echo::messages_of_all_sizes", "server::echo::take_bytes", "server::none::f", "echo", ""] {
        assert!(!is_test_elsewhere(missing), "{missing}");
    }
}
