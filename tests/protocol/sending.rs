//! §5.4, §5.5.3: how what goes out is stored, and what happens when it does not go out. The rules of §6.1 are in
//! `tests/rfc6455`.

use std::borrow::Cow;

use frameloop::protocol::limits::CONTROL_QUEUE_BYTES_MAX;
use frameloop::protocol::{CloseCode, End, Limits, Message, SharedFrame, State};

use crate::Link;
use crate::wire::{BINARY, FIN, PING, PONG, ServerFrame, TEXT, client_frame, server_frames};

/// Bytes in which no two positions nearby look alike.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

#[test]
fn a_large_payload_that_is_owned_is_not_copied() {
    let mut link = Link::open(Limits::default());
    let bytes = payload(100_000);
    let address = bytes.as_ptr();
    link.connection.send(Message::Binary(Cow::Owned(bytes)), link.now);
    assert!(link.connection.outgoing().any(|slice| slice.as_ptr() == address && slice.len() == 100_000));
}

#[test]
fn a_shared_frame_is_encoded_once_for_all_who_receive_it() {
    let text = "to all ".repeat(20); // a very small frame is copied instead
    let frame = SharedFrame::text(&text);
    let mut links = [Link::open(Limits::default()), Link::open(Limits::default())];
    for link in &mut links {
        link.connection.send_shared(&frame, link.now);
        assert!(link.connection.outgoing().any(|slice| slice.as_ptr() == frame.as_bytes().as_ptr()));
        assert_eq!(link.take_frames(), [ServerFrame::new(TEXT, text.as_bytes())]);
    }
}

#[test]
fn small_messages_of_one_turn_leave_as_one_slice() {
    let mut link = Link::open(Limits::default());
    for _ in 0..1000 {
        link.connection.send(Message::text("small"), link.now);
    }
    assert_eq!(link.connection.outgoing().count(), 1);
    assert_eq!(link.take_frames(), vec![ServerFrame::new(TEXT, b"small"); 1000]);
}

#[test]
fn a_queue_may_be_filled_to_its_last_byte() {
    let mut link = Link::open(Limits { queue_bytes_max: 1000, ..Limits::default() });
    link.connection.send(Message::binary(&payload(496)), link.now);
    assert_eq!(link.connection.queued_bytes(), 500, "a header of 4 bytes counts");
    link.connection.send_shared(&SharedFrame::binary(&payload(496)), link.now);
    assert_eq!((link.connection.queued_bytes(), link.connection.state()), (1000, State::Open));
    assert_eq!(link.take_frames().len(), 2);
    link.connection.send(Message::binary(&payload(996)), link.now);
    assert_eq!(link.connection.state(), State::Open, "what was sent counts no more");
}

#[test]
fn one_byte_more_than_the_queue_may_hold_ends_the_connection_with_1013_and_drops_what_waits() {
    let ways: [fn(&mut Link); 3] = [
        |link| assert!(!link.connection.send(Message::binary(&[7; 497]), link.now)),
        |link| assert!(!link.connection.send(Message::Binary(Cow::Owned(vec![7; 5000])), link.now)),
        |link| assert!(!link.connection.send_shared(&SharedFrame::binary(&[7; 497]), link.now)),
    ];
    for overflow in ways {
        let mut link = Link::open(Limits { queue_bytes_max: 1000, ..Limits::default() });
        link.connection.send(Message::binary(&payload(246)), link.now);
        link.connection.send(Message::binary(&payload(246)), link.now);
        assert_eq!(link.connection.queued_bytes(), 500);
        let taken = link.take(300);
        link.connection.send(Message::binary(&payload(296)), link.now);
        assert_eq!(link.connection.queued_bytes(), 500);
        overflow(&mut link);
        assert_eq!(
            (link.connection.state(), link.connection.end()),
            (State::Closed, Some(&End::QueueFull(CloseCode::TRY_AGAIN_LATER)))
        );
        // §5.4: the frame of which a part was sent goes on; the one behind it is dropped.
        let frames = server_frames(&[taken, link.take(usize::MAX)].concat());
        let [first, second, close] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!([first, second], [&ServerFrame::new(BINARY, &payload(246)); 2]);
        assert_eq!(close.close_code(), Some(1013));
    }
}

#[test]
fn a_pong_that_was_begun_is_sent_to_its_end_and_the_one_behind_it_is_dropped_with_the_rest() {
    let mut link = Link::open(Limits { queue_bytes_max: 1000, ..Limits::default() });
    link.receive(&[client_frame(FIN | PING, b"one"), client_frame(FIN | PING, b"two")].concat());
    let begun = link.take(1);
    link.connection.send(Message::binary(&payload(1000)), link.now);
    let frames = server_frames(&[begun, link.take(usize::MAX)].concat());
    let [pong, close] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((pong, close.close_code()), (&ServerFrame::new(PONG, b"one"), Some(1013)));
}

#[test]
fn a_message_larger_than_the_whole_queue_ends_the_connection_too() {
    let mut link = Link::open(Limits { queue_bytes_max: 1000, ..Limits::default() });
    link.connection.send(Message::binary(&payload(1000)), link.now);
    assert_eq!(link.connection.end(), Some(&End::QueueFull(CloseCode::TRY_AGAIN_LATER)));
    let frames = link.take_frames();
    assert_eq!((frames.len(), frames[0].close_code()), (1, Some(1013)));
}

#[test]
fn no_cut_between_writes_breaks_a_frame_while_pongs_come_in_between() {
    let mut state = 1_u32;
    let mut random = move |bound: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % bound
    };
    for round in 0..200 {
        let mut link = Link::open(Limits::default());
        let (mut sent, mut messages, mut newest) = (Vec::new(), Vec::new(), None);
        for step in 0..100_u32 {
            match random(4) {
                0 => {
                    let message = payload(random(700));
                    link.connection.send(Message::binary(&message), link.now);
                    messages.push(ServerFrame::new(BINARY, &message));
                }
                1 => {
                    let message = payload(random(9000));
                    link.connection.send(Message::Binary(Cow::Owned(message.clone())), link.now);
                    messages.push(ServerFrame::new(BINARY, &message));
                }
                2 => {
                    let payload = step.to_be_bytes();
                    link.receive(&client_frame(FIN | PING, &payload));
                    newest = Some(ServerFrame::new(PONG, &payload));
                }
                _ => sent.extend(link.take(random(6000))),
            }
        }
        sent.extend(link.take(usize::MAX));
        let (pongs, data): (Vec<_>, Vec<_>) = server_frames(&sent).into_iter().partition(|f| f.opcode == PONG);
        assert!(data == messages, "round {round}: every message, in order");
        assert_eq!(pongs.last(), newest.as_ref(), "§5.5.3: the newest ping at least is answered");
        assert!(pongs.is_sorted_by_key(|pong| pong.payload.clone()), "round {round}: {pongs:?}");
    }
}

#[test]
fn pongs_for_a_peer_that_does_not_read_are_bounded_and_the_newest_is_kept() {
    let mut link = Link::open(Limits::default());
    for number in 0..10_000_u32 {
        link.receive(&client_frame(FIN | PING, &[&number.to_be_bytes()[..], &[0; 121]].concat()));
        assert!(link.connection.queued_bytes() <= CONTROL_QUEUE_BYTES_MAX + 2 * 127);
    }
    assert_eq!(link.connection.state(), State::Open);
    assert_eq!(link.take_frames().last().unwrap().payload[..4], 9_999_u32.to_be_bytes());
}

#[test]
fn pongs_do_not_fill_the_queue_for_data() {
    let mut link = Link::open(Limits { queue_bytes_max: 10, ..Limits::default() });
    for _ in 0..1000 {
        link.receive(&client_frame(FIN | PING, &[7; 125]));
    }
    assert_eq!(link.connection.state(), State::Open, "a ping never ends the connection");
}
