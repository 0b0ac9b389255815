//! §5.5.2, §7.2.1: peers that fall silent, that do not ask, that do not answer and that do not read.

use std::time::Duration;

use frameloop::protocol::connection::Timer;
use frameloop::protocol::{CloseCode, End, HandshakeError, Limits, Message, ProtocolError, State};

use crate::wire::{BINARY, CLOSE, FIN, PING, PONG, REQUEST_HEAD, ServerFrame, client_frame, server_response};
use crate::{Link, seconds};

const MOMENT: Duration = Duration::from_millis(1);

fn limits() -> Limits {
    Limits {
        handshake_timeout: seconds(10),
        ping_interval: seconds(20),
        ping_misses_max: 3,
        slow_timeout: seconds(30),
        close_timeout: seconds(5),
        ..Limits::default()
    }
}

/// An open connection whose peer has left three pings unanswered. The next tick is 20 seconds away.
fn silent_link() -> Link {
    let mut link = Link::open(limits());
    for _ in 0..3 {
        link.advance(seconds(20));
        assert_eq!(link.take_frames(), [ping()]);
    }
    link
}

fn ping() -> ServerFrame {
    ServerFrame::new(PING, b"")
}

#[test]
fn a_ping_can_be_brought_forward_once_and_the_others_keep_the_interval() {
    let mut link = Link::open(limits());
    link.connection.hasten_ping(seconds(5), link.now);
    assert_eq!(link.connection.timer(), Some((Timer::HastenedPing, link.now + seconds(5))));
    link.advance(seconds(5) - MOMENT);
    assert_eq!(link.connection.queued_bytes(), 0, "it is early");
    link.advance(MOMENT);
    assert_eq!(link.take_frames(), [ping()]);
    for _ in 0..2 {
        assert_eq!(link.connection.timer(), Some((Timer::Ping, link.now + seconds(20))));
        link.advance(seconds(20));
        assert_eq!(link.take_frames(), [ping()]);
    }
    link.advance(seconds(20));
    assert_eq!(link.connection.end(), Some(&End::HeartbeatTimeout), "three pings, and three intervals after the first");

    let mut link = Link::open(limits());
    link.advance(seconds(3));
    link.connection.hasten_ping(Duration::MAX, link.now);
    assert_eq!(link.connection.next_timeout(), Some(link.now + seconds(17)), "it never comes later than it would");
    link.connection.close(CloseCode::NORMAL, "", link.now);
    link.connection.hasten_ping(Duration::ZERO, link.now);
    assert_eq!(link.connection.timer(), Some((Timer::Close, link.now + seconds(5))), "there is no ping to hasten");
}

#[test]
fn at_the_tick_after_three_unanswered_pings_the_peer_is_dropped_with_4201() {
    let mut link = silent_link();
    link.advance(seconds(20) - MOMENT);
    assert_eq!(link.connection.state(), State::Open);
    link.advance(MOMENT);
    assert_eq!(link.connection.end(), Some(&End::HeartbeatTimeout));
    assert_eq!(link.connection.state(), State::Closed);
    let frames = link.take_frames();
    assert_eq!(frames.len(), 1, "a Close frame and no ping: {frames:?}");
    assert_eq!((frames[0].opcode, frames[0].close_code()), (CLOSE, Some(4201)));
    link.advance(seconds(5));
    assert!(link.connection.is_done());
}

#[test]
fn any_byte_that_comes_is_a_sign_of_life() {
    let (ping_of_its_own, pong) = (client_frame(FIN | PING, b"p"), client_frame(FIN | PONG, b""));
    let message = client_frame(FIN | BINARY, &[7; 100]);
    let cases: [(&str, &[u8]); 5] = [
        ("a pong", &pong),
        ("a ping", &ping_of_its_own),
        ("a message", &message),
        ("half a message", &message[..50]),
        ("one byte of a header", &message[..1]),
    ];
    for (name, bytes) in cases {
        let mut link = silent_link();
        link.advance(seconds(19));
        link.receive(bytes);
        link.take(usize::MAX);
        // It starts the count again from nothing: three more pings, and then the end.
        for round in 0..3 {
            link.advance(if round == 0 { seconds(1) } else { seconds(20) });
            assert_eq!(link.take_frames(), [ping()], "{name}, round {round}");
        }
        link.advance(seconds(20));
        assert_eq!(link.connection.end(), Some(&End::HeartbeatTimeout), "{name}");
    }
    let mut link = silent_link();
    link.receive(b"");
    link.advance(seconds(20));
    assert_eq!(link.connection.end(), Some(&End::HeartbeatTimeout), "a read of nothing is no sign of life");
}

#[test]
fn a_byte_for_every_third_ping_is_enough() {
    let mut link = Link::open(limits());
    for round in 1..=300 {
        link.advance(seconds(20));
        assert_eq!(link.take_frames(), [ping()], "round {round}");
        if round % 3 == 0 {
            link.receive(&client_frame(FIN | PONG, b""));
        }
    }
}

#[test]
fn a_tick_that_is_later_than_a_whole_interval_drops_nobody() {
    let mut link = silent_link();
    link.advance(seconds(20) + seconds(20) + MOMENT);
    assert_eq!(link.take_frames(), [ping()], "the server stood still: a round of grace");
    link.advance(seconds(20));
    assert_eq!(link.connection.end(), Some(&End::HeartbeatTimeout), "the next tick is punctual");

    let mut link = silent_link();
    link.advance(seconds(20) + seconds(20));
    assert_eq!(link.connection.end(), Some(&End::HeartbeatTimeout), "one interval late is no standstill yet");
}

#[test]
fn after_a_late_tick_the_next_ping_is_a_whole_interval_away() {
    let mut link = Link::open(limits());
    link.advance(seconds(1000));
    assert_eq!(link.take_frames(), [ping()], "one ping, not one for each interval that was missed");
    assert_eq!(link.connection.next_timeout(), Some(link.now + seconds(20)));
}

#[test]
fn a_head_that_is_not_complete_in_time_is_answered_with_408_however_steadily_it_comes() {
    let mut link = Link::connecting(limits());
    let start = link.now;
    for byte in &REQUEST_HEAD[..9] {
        link.advance(seconds(1));
        link.receive(&[*byte]);
        assert_eq!(link.connection.timer(), Some((Timer::Handshake, start + seconds(10))), "a total, not an idle time");
    }
    link.advance(seconds(1) - MOMENT);
    assert_eq!((link.connection.state(), link.connection.queued_bytes()), (State::Connecting, 0));
    link.advance(MOMENT);
    assert_eq!(link.connection.end(), Some(&End::Refused(HandshakeError::Timeout)));
    let response = link.take(usize::MAX);
    assert_eq!(server_response(&response).0, 408);
    assert!(link.receive(&REQUEST_HEAD[9..]).is_empty());
    assert_eq!((link.connection.state(), link.connection.queued_bytes()), (State::Closed, 0), "it is too late");
    link.advance(seconds(5));
    assert!(link.connection.is_done());
}

#[test]
fn a_complete_head_ends_the_time_for_the_handshake() {
    let mut link = Link::connecting(limits());
    link.advance(seconds(10) - MOMENT);
    link.receive(REQUEST_HEAD);
    link.take(usize::MAX);
    assert_eq!(link.connection.timer(), Some((Timer::Ping, link.now + seconds(20))));
    link.advance(seconds(1));
    assert_eq!((link.connection.state(), link.connection.queued_bytes()), (State::Open, 0));
}

#[test]
fn when_the_time_for_closing_is_over_it_is_done_whatever_is_missing() {
    type Begin = fn(&mut Link);
    let ways: [(&str, Begin, End); 5] = [
        ("we close", |l| l.connection.close(CloseCode::NORMAL, "", l.now), End::ClosedByUs(CloseCode::NORMAL)),
        ("the peer closes", |l| drop(l.receive(&client_frame(FIN | CLOSE, b""))), End::ClosedByPeer(None)),
        (
            "a rule is broken",
            |l| drop(l.receive(&client_frame(0xff, b""))),
            End::Failed(ProtocolError::ReservedBits(0x70)),
        ),
        ("end of file, with a message that waits", |l| l.connection.receive_eof(l.now), End::Lost),
        (
            "the queue is full",
            |l| assert!(!l.connection.send(Message::Binary(vec![0; 5 << 20].into()), l.now)),
            End::QueueFull(CloseCode::TRY_AGAIN_LATER),
        ),
    ];
    for (name, begin, end) in ways {
        let mut link = Link::open(limits());
        link.connection.send(Message::text("it waits"), link.now);
        link.connection.sent(1, link.now);
        begin(&mut link);
        assert_eq!(link.connection.timer(), Some((Timer::Close, link.now + seconds(5))), "{name}");
        link.advance(seconds(5) - MOMENT);
        // A late byte, or progress of the socket, gives no more time.
        link.receive(&client_frame(FIN | PONG, b""));
        link.take(1);
        assert!(!link.connection.is_done(), "{name}");
        link.advance(MOMENT);
        assert!(link.connection.is_done(), "{name}");
        assert_eq!((link.connection.state(), link.connection.end()), (State::Closed, Some(&end)), "{name}");
        assert_eq!((link.connection.queued_bytes(), link.connection.next_timeout()), (0, None), "{name}");
    }
}

#[test]
fn the_time_for_closing_starts_at_the_first_step_and_no_ping_is_sent_in_it() {
    let mut link = Link::open(Limits { ping_interval: seconds(1), close_timeout: seconds(60), ..limits() });
    link.connection.close(CloseCode::NORMAL, "", link.now);
    let deadline = link.now + seconds(60);
    link.take(usize::MAX);
    for _ in 0..30 {
        link.advance(seconds(1));
        assert_eq!(link.connection.queued_bytes(), 0);
    }
    link.receive(&client_frame(FIN | CLOSE, b""));
    assert_eq!(link.connection.state(), State::Closed);
    assert_eq!(link.connection.timer(), Some((Timer::Close, deadline)), "the peer's Close gives no more time");
}

/// A link with 1,000 bytes waiting of which the socket took `taken` and then no more.
fn stuck_link(taken: usize) -> Link {
    let mut link = Link::open(Limits { ping_interval: seconds(1000), ..limits() });
    link.connection.send(Message::binary(&[7; 996]), link.now);
    link.take(taken);
    link.connection.sent(0, link.now);
    link
}

#[test]
fn a_peer_that_takes_nothing_of_what_waits_is_closed_with_1013() {
    let mut link = stuck_link(0);
    assert_eq!(link.connection.slow_deadline(), Some(link.now + seconds(30)));
    assert_eq!(link.connection.next_timeout(), Some(link.now + seconds(30)), "it comes before the ping");
    link.advance(seconds(30) - MOMENT);
    assert_eq!(link.connection.state(), State::Open);
    link.advance(MOMENT);
    assert_eq!(
        (link.connection.state(), link.connection.end()),
        (State::Closed, Some(&End::SlowReader(CloseCode::TRY_AGAIN_LATER)))
    );
    assert_eq!(link.connection.slow_deadline(), None);
    let frames = link.take_frames();
    assert_eq!(frames.len(), 1, "what was not begun is dropped");
    assert_eq!(frames[0].close_code(), Some(1013));

    let mut link = stuck_link(100);
    link.connection.send(Message::text("behind"), link.now);
    link.advance(seconds(30));
    let rest = link.take(900);
    assert_eq!(rest, [7; 900], "§5.4: the frame that was begun is sent to its end");
    let frames = link.take_frames();
    assert_eq!(frames.len(), 1, "{frames:?}");
    assert_eq!(frames[0].close_code(), Some(1013));
}

#[test]
fn progress_of_one_byte_is_enough_and_bytes_received_are_not() {
    let mut link = stuck_link(0);
    for _ in 0..20 {
        link.advance(seconds(30) - MOMENT);
        assert_eq!(link.take(1).len(), 1);
        assert_eq!(link.connection.slow_deadline(), Some(link.now + seconds(30)));
    }
    for _ in 0..29 {
        link.advance(seconds(1));
        link.receive(&client_frame(FIN | PONG, b""));
        link.connection.sent(0, link.now);
        link.connection.send(Message::text("more"), link.now);
    }
    assert_eq!(link.connection.state(), State::Open);
    link.advance(seconds(1));
    assert_eq!(
        link.connection.end(),
        Some(&End::SlowReader(CloseCode::TRY_AGAIN_LATER)),
        "a peer that talks but does not listen"
    );
}

#[test]
fn a_peer_that_has_taken_everything_has_no_deadline_for_it() {
    let mut link = stuck_link(999);
    assert!(link.connection.slow_deadline().is_some());
    link.take(1);
    assert_eq!(link.connection.slow_deadline(), None);
    link.connection.send(Message::text("new"), link.now);
    assert_eq!(link.connection.slow_deadline(), None, "nobody has tried to send it yet");
    link.advance(seconds(900));
    assert_eq!(link.connection.state(), State::Open);
}

#[test]
fn a_connection_that_closes_has_the_time_for_closing_and_no_other() {
    let mut link = stuck_link(0);
    link.advance(seconds(28));
    link.connection.close(CloseCode::NORMAL, "", link.now);
    assert_eq!(link.connection.slow_deadline(), None);
    assert_eq!(link.connection.next_timeout(), Some(link.now + seconds(5)));
    link.advance(seconds(4));
    assert_eq!(link.connection.state(), State::CloseSent);
    assert_eq!(link.take_frames().len(), 2, "the message and the Close frame could still be taken");
}

#[test]
fn a_silent_peer_that_does_not_read_is_dropped_by_whichever_deadline_is_first() {
    let mut link = Link::open(Limits { slow_timeout: seconds(100), ..limits() });
    link.connection.send(Message::binary(&[7; 996]), link.now);
    link.connection.sent(0, link.now);
    for _ in 0..3 {
        link.advance(seconds(20));
        link.connection.sent(0, link.now);
    }
    let frames = crate::wire::server_frames(&link.waiting());
    assert_eq!(frames.iter().filter(|frame| frame.opcode == PING).count(), 1, "pings do not pile up");
    link.advance(seconds(20));
    assert_eq!(link.connection.end(), Some(&End::HeartbeatTimeout));
}

#[test]
fn times_without_end_are_taken() {
    let never = Duration::MAX;
    let mut link = Link::open(Limits {
        handshake_timeout: never,
        ping_interval: never,
        slow_timeout: never,
        close_timeout: never,
        ..Limits::default()
    });
    link.connection.send(Message::text("it waits"), link.now);
    link.connection.sent(1, link.now);
    link.advance(seconds(60 * 60 * 24 * 300));
    assert_eq!(link.connection.state(), State::Open);
    link.connection.close(CloseCode::NORMAL, "", link.now);
    link.advance(seconds(60 * 60 * 24 * 300));
    assert!(!link.connection.is_done());
}

#[test]
fn room_in_a_queue_that_was_stuck_is_a_sign_of_life() {
    let mut link = silent_link();
    link.connection.send(Message::Binary(vec![0; 1000].into()), link.now);
    link.connection.sent(10, link.now);
    link.connection.sent(10, link.now);
    link.advance(seconds(20));
    assert_eq!(link.connection.state(), State::Open, "its side took bytes after the queue was stuck");
}

#[test]
fn what_the_system_takes_at_once_is_no_sign_of_life() {
    let mut link = silent_link();
    link.connection.send(Message::text("to a peer that is gone"), link.now);
    link.take_frames();
    link.advance(seconds(20));
    assert_eq!(link.connection.end(), Some(&End::HeartbeatTimeout));
}
