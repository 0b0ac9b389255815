//! Seeds of the target `sessions`: a byte for the options and one for the end, then what happens, one by one.

use crate::seeds::{Seeds, named};

/// A client that offers no subprotocol, and one that does. Who does something is an index into those that are there.
const PLAIN: &[u8] = &[0, 0];
const OPEN: &[u8] = &[1, 0];

/// Rooms that a hello names, as bits.
const LOBBY: u8 = 1;
const A: u8 = 2;
const B: u8 = 4;

/// How a room is joined: bits 0 and 1 are presence and state, then from where on, then how far back.
const PRESENCE: u8 = 1;
const STATE: u8 = 2;
const LAST: u8 = 2 << 2;
const OTHER_EPOCH: u8 = 3 << 2;
const SINCE: u8 = 6 << 2;

/// So many chats and versions back.
fn back(count: u8) -> u8 {
    count << 5
}

/// Options of the hub.
const USUAL: u8 = 8;
const HISTORY_OF_5: u8 = 8 | 1;
const NO_HISTORY: u8 = 8 | 3;
const LITTLE_MEMORY: u8 = 0;
const GATHERED: u8 = 8 | 16;
const TWO_ROOMS: u8 = 8 | 32;
const ONE_WAITS: u8 = 8 | 64;

/// How a run ends.
const ALL_GO: u8 = 0;
const STOP: u8 = 3;

fn hello(who: u8, rooms: u8, options: u8) -> Vec<u8> {
    [&[2, who, 8, 1, 0, 0, rooms][..], &vec![options; rooms.count_ones() as usize]].concat()
}

/// Goes on with the session that is so many before the last one that began.
fn resume(who: u8, before: u8, rooms: u8, options: u8) -> Vec<u8> {
    [&[2, who, 8, 1, 0, 64, 0, before, rooms][..], &vec![options; rooms.count_ones() as usize]].concat()
}

/// `id`: 0 is none, 1 a new one, 2 one that is always the same. `room`: 0 is the lobby.
fn chat(who: u8, id: u8, room: u8) -> Vec<u8> {
    vec![2, who, 0, id, room, 0, 0]
}

fn long_chat(who: u8, room: u8) -> Vec<u8> {
    vec![2, who, 0, 0, room, 0, 33]
}

fn patch(who: u8, name: u8, value: u8) -> Vec<u8> {
    vec![2, who, 5, 1, 1, name, value]
}

fn join(who: u8, room: u8, options: u8) -> Vec<u8> {
    vec![2, who, 3, 1, room, options]
}

/// `how`: lost, 1000, reset, silent, 1001, without a code.
fn end(who: u8, how: u8) -> Vec<u8> {
    vec![10, who, how]
}

/// So many times 2^`scale` milliseconds; late is all at once.
fn wait(scale: u8, amount: u8, is_late: bool) -> Vec<u8> {
    vec![12, 0, scale, amount, if is_late { 3 } else { 0 }]
}

/// More waits for it than it takes, and each byte to it weighs much.
fn stall(who: u8) -> Vec<u8> {
    vec![14, who, 2, 3]
}

fn drain(who: u8) -> Vec<u8> {
    vec![15, who]
}

fn dozen(deed: Vec<u8>) -> Vec<u8> {
    deed.repeat(12)
}

/// Two who are in room `a`.
fn two_in_a(options: u8) -> Vec<u8> {
    [OPEN, &hello(0, A, options), OPEN, &hello(1, A, options)].concat()
}

fn run(choices: [u8; 2], deeds: &[Vec<u8>]) -> Vec<u8> {
    [&choices[..], &deeds.concat()].concat()
}

/// The seeds.
pub(crate) fn all() -> Seeds {
    [coming_back(), saying(), logs(), bounds()].concat()
}

/// Sessions whose clients come back, or not.
fn coming_back() -> Seeds {
    let usual = [USUAL, ALL_GO];
    named(&[
        (
            "resume_with_what_was_missed",
            &run(
                usual,
                &[
                    two_in_a(0),
                    chat(1, 1, 1),
                    end(0, 0),
                    chat(0, 1, 1),
                    OPEN.into(),
                    resume(0, 1, A, SINCE | back(1)),
                    chat(1, 1, 1),
                ],
            ),
        ),
        (
            "resume_replaces_a_live_line",
            &run(usual, &[two_in_a(0), OPEN.into(), resume(2, 1, A, SINCE), chat(1, 1, 1), end(0, 0), chat(1, 1, 1)]),
        ),
        (
            "resume_after_the_window",
            &run(
                usual,
                &[
                    two_in_a(0),
                    end(0, 4),
                    wait(15, 2, false),
                    chat(0, 1, 1),
                    OPEN.into(),
                    resume(0, 1, A, SINCE | back(1)),
                ],
            ),
        ),
        ("resume_after_1000", &run(usual, &[two_in_a(0), end(0, 1), OPEN.into(), resume(0, 1, A, SINCE)])),
        ("resume_with_a_wrong_token", &run(usual, &[two_in_a(0), OPEN.into(), vec![2, 2, 8, 1, 0, 79, 0, 0, A, 0]])),
        (
            "the_oldest_of_two_that_wait_ends",
            &run(
                [ONE_WAITS, ALL_GO],
                &[
                    two_in_a(0),
                    end(0, 0),
                    end(0, 0),
                    OPEN.into(),
                    resume(0, 1, A, SINCE),
                    OPEN.into(),
                    resume(1, 1, A, SINCE),
                ],
            ),
        ),
        (
            "presence_ends_with_the_grace",
            &run(
                usual,
                &[
                    two_in_a(PRESENCE),
                    end(0, 0),
                    wait(12, 4, true),
                    wait(8, 5, false),
                    OPEN.into(),
                    hello(0, A, PRESENCE),
                ],
            ),
        ),
    ])
}

/// What is said, again or in other ways.
fn saying() -> Seeds {
    let usual = [USUAL, ALL_GO];
    named(&[
        (
            "plain_and_session_in_the_lobby",
            &run(usual, &[PLAIN.into(), PLAIN.into(), OPEN.into(), hello(2, LOBBY, 0), chat(2, 1, 0), chat(0, 0, 0)]),
        ),
        (
            "plain_says_hello_and_stays",
            &run(usual, &[PLAIN.into(), PLAIN.into(), hello(0, LOBBY, PRESENCE), chat(1, 0, 0), chat(0, 1, 0)]),
        ),
        (
            "an_id_said_again",
            &run(
                usual,
                &[
                    two_in_a(0),
                    chat(0, 2, 1),
                    chat(0, 2, 1),
                    end(0, 2),
                    OPEN.into(),
                    resume(0, 1, A, SINCE),
                    chat(0, 2, 1),
                    wait(15, 2, false),
                    wait(15, 2, false),
                    chat(0, 2, 1),
                ],
            ),
        ),
        (
            "patches_and_a_conflict",
            &run(usual, &[two_in_a(STATE), patch(0, 0, 11), patch(1, 1, 1), patch(0, 0, 132), patch(1, 0, 8)]),
        ),
        (
            "own_patches_come_back_with_a_resume",
            &run(
                usual,
                &[
                    two_in_a(STATE),
                    patch(0, 0, 11),
                    patch(1, 1, 9),
                    end(0, 0),
                    patch(0, 2, 10),
                    OPEN.into(),
                    resume(0, 1, A, STATE | SINCE | back(3)),
                ],
            ),
        ),
        (
            "joins_and_leaves_without_an_answer",
            &run(
                usual,
                &[two_in_a(0), vec![2, 0, 4, 0, 1], chat(1, 1, 1), vec![2, 0, 3, 0, 1, LAST | back(1)], chat(1, 1, 1)],
            ),
        ),
    ])
}

/// Logs that are shorter than an absence.
fn logs() -> Seeds {
    let usual = [USUAL, ALL_GO];
    named(&[
        (
            "gathered_and_then_lost",
            &run(
                [GATHERED, ALL_GO],
                &[
                    two_in_a(STATE),
                    chat(0, 0, 1),
                    patch(0, 0, 11),
                    wait(0, 25, false),
                    chat(1, 0, 1),
                    end(0, 0),
                    OPEN.into(),
                    resume(0, 1, A, STATE | SINCE | back(1)),
                ],
            ),
        ),
        (
            "a_replay_in_pieces_that_is_overrun",
            &run(
                [HISTORY_OF_5, ALL_GO],
                &[
                    two_in_a(0),
                    long_chat(0, 1).repeat(4),
                    OPEN.into(),
                    stall(2),
                    hello(2, A, LAST | back(4)),
                    chat(1, 0, 1).repeat(2),
                    drain(2),
                    dozen(chat(0, 1, 1)),
                    drain(2),
                    drain(2),
                ],
            ),
        ),
        (
            "a_gap_that_expired",
            &run(
                [HISTORY_OF_5, ALL_GO],
                &[two_in_a(0), end(0, 0), dozen(chat(0, 1, 1)), OPEN.into(), resume(0, 1, A, SINCE | back(7))],
            ),
        ),
        (
            "a_gap_of_another_epoch",
            &run(usual, &[two_in_a(0), chat(0, 1, 1), chat(1, 1, 1), join(0, 1, OTHER_EPOCH), chat(1, 1, 1)]),
        ),
        (
            "without_a_log",
            &run([NO_HISTORY, ALL_GO], &[two_in_a(0), chat(0, 1, 1), chat(1, 0, 1), join(0, 1, SINCE | back(1))]),
        ),
        (
            "all_logs_are_too_large",
            &run(
                [LITTLE_MEMORY, ALL_GO],
                &[
                    OPEN.into(),
                    hello(0, A | B, 0),
                    dozen([chat(0, 1, 1), chat(0, 0, 2)].concat()),
                    join(0, 2, SINCE | back(7)),
                ],
            ),
        ),
    ])
}

/// What is too much, too late or wrong, and the end.
fn bounds() -> Seeds {
    let usual = [USUAL, ALL_GO];
    let raw = br#"[{"type":"hello","v":1,"rooms":{"x":{}}},{"type":"chat","room":"x","n":1.50},{"type":"no"},7]"#;
    let closing = br#"[{"type":"hello","v":2},{"type":"no"},8]"#;
    named(&[
        (
            "a_batch_that_goes_on_behind_its_close",
            &run(usual, &[OPEN.into(), vec![9, 0, closing.len() as u8], closing.to_vec()]),
        ),
        (
            "too_many_rooms",
            &run(
                [TWO_ROOMS, ALL_GO],
                &[
                    OPEN.into(),
                    hello(0, LOBBY | A | B, PRESENCE),
                    join(0, 3, 0),
                    vec![2, 0, 4, 1, 1],
                    join(0, 3, 0),
                    join(0, 4, 0),
                ],
            ),
        ),
        (
            "a_batch_over_the_limit_and_one_within",
            &run(
                usual,
                &[
                    two_in_a(0),
                    vec![8, 0, 0, 101, 0, 1, 1, 0, 0],
                    vec![8, 1, 0, 100, 0, 1, 1, 0, 0],
                    vec![8, 0, 0, 3, 7, 0, 1, 5, 9, 1, 0, 10, 0, 0],
                ],
            ),
        ),
        (
            "no_hello_in_time",
            &run(
                usual,
                &[OPEN.into(), OPEN.into(), chat(0, 1, 0), wait(12, 2, false), hello(1, A, 0), wait(12, 1, true)],
            ),
        ),
        (
            "another_version_and_binary",
            &run(
                usual,
                &[two_in_a(0), OPEN.into(), vec![2, 2, 8, 1, 15, 0, 0], vec![15, 252], vec![15, 254], end(0, 0)],
            ),
        ),
        (
            "anything",
            &run(
                usual,
                &[
                    OPEN.into(),
                    vec![9, 0, raw.len() as u8],
                    raw.to_vec(),
                    PLAIN.into(),
                    vec![9, 1, 5],
                    b"oops!".to_vec(),
                ],
            ),
        ),
        ("stop_in_the_midst", &run([USUAL, STOP], &[two_in_a(0), PLAIN.into(), OPEN.into(), chat(0, 1, 1), end(1, 0)])),
    ])
}
