//! Payloads that are read straight into their message: what a caller must not do, and what nobody may see.

use frameloop::protocol::Limits;

use crate::driver::Link;
use crate::wire::{BINARY, client_frame};

/// The front of a long binary message: there is room for its rest.
fn half_received() -> Link {
    let mut link = Link::open(Limits::default());
    let frame = client_frame(0x80 | BINARY, &[7; 100_000]);
    assert!(link.receive(&frame[..1000]).is_empty());
    link
}

#[test]
fn the_rest_of_a_long_payload_has_room() {
    let mut link = half_received();
    let room = link.connection.payload_room().expect("the rest is to come").len();
    assert_eq!(room, 100_000 - (1000 - 14));
}

#[test]
#[should_panic(expected = "no room was given")]
fn to_fill_what_was_not_given_is_a_bug_of_the_caller() {
    let mut link = Link::open(Limits::default());
    assert!(link.connection.payload_room().is_none());
    link.connection.poll_payload(0);
}

#[test]
#[should_panic(expected = "a payload comes before its header")]
fn so_it_is_between_two_fragments() {
    let mut link = Link::open(Limits::default());
    link.receive(&client_frame(BINARY, &[7; 100_000]));
    assert!(link.connection.payload_room().is_none());
    link.connection.poll_payload(0);
}

#[test]
fn a_connection_shows_its_limits_and_not_what_all_share() {
    let shown = format!("{:?}", half_received().connection);
    let (_, behind) = shown.split_once("Commons { limits: Limits {").expect("the limits are shown");
    assert!(behind.split_once("}, .. }").is_some_and(|(limits, _)| !limits.contains("spare")), "{shown}");
}
