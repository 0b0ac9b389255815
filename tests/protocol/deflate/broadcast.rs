//! One message to many, who have agreed on different things: it is compressed once for all who can be sent the same.

use std::rc::Rc;

use frameloop::protocol::{Commons, Compression, Limits, SharedFrame};

use super::peer::{Pair, commons, frames, handshake, json, noise};
use crate::driver::Link;
use crate::wire::{BINARY, ServerFrame, TEXT};

const SHARED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const WINDOW_OF_9_BITS: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                                server_max_window_bits=9";

/// Where the bytes lie that wait, if they are one slice.
fn address(link: &Link) -> *const u8 {
    let slices: Vec<&[u8]> = link.connection.outgoing().collect();
    assert_eq!(slices.len(), 1);
    slices[0].as_ptr()
}

fn send(link: &mut Link, frame: &SharedFrame) {
    assert!(link.connection.send_shared(frame, link.now));
}

#[test]
fn a_broadcast_is_compressed_once_for_all_who_share() {
    let commons = commons(Compression::Shared, Limits::default());
    let mut pairs: Vec<Pair> = (0..20).map(|_| Pair::open(&commons, "permessage-deflate")).collect();
    let frame = SharedFrame::text(&json(20_000));
    let first = allocation_counter::measure(|| send(&mut pairs[0].link, &frame));
    assert!(first.bytes_total > 1000, "it is compressed now");
    for pair in &mut pairs[1..] {
        let next = allocation_counter::measure(|| send(&mut pair.link, &frame));
        assert!(next.bytes_total < 1000, "{} bytes: only the place in the queue", next.bytes_total);
    }
    let addresses: Vec<_> = pairs.iter().map(|pair| address(&pair.link)).collect();
    assert!(addresses.iter().all(|&one| one == addresses[0] && one != frame.as_bytes().as_ptr()));
    for pair in &mut pairs {
        assert!(pair.link.connection.queued_bytes() < 5000);
        assert!(pair.take() == [(true, TEXT, json(20_000).into_bytes())]);
    }
}

#[test]
fn what_is_too_short_or_gets_no_smaller_is_shared_as_it_is() {
    let commons = commons(Compression::Shared, Limits::default());
    let mut pairs: Vec<Pair> = (0..3).map(|_| Pair::open(&commons, "permessage-deflate")).collect();
    for payload in [json(1023).into_bytes(), noise(10_000)] {
        let frame = SharedFrame::binary(&payload);
        for pair in &mut pairs {
            send(&mut pair.link, &frame);
            assert_eq!(address(&pair.link), frame.as_bytes().as_ptr());
            assert!(pair.take() == [(false, BINARY, payload.clone())]);
        }
    }
}

/// Receivers of all kinds, each kind several times, in one server.
fn crowd(commons: &Rc<Commons>) -> (Vec<Pair>, Vec<Link>) {
    let offers = ["permessage-deflate", SHARED, WINDOW_OF_9_BITS];
    let pairs = (0..24).map(|at| Pair::open(commons, offers[at % offers.len()])).collect();
    (pairs, (0..4).map(|_| handshake(commons, "").0).collect())
}

#[test]
fn whatever_each_has_agreed_on_all_get_the_same_message() {
    for compression in [Compression::Shared, Compression::Takeover { contexts_max: 2 }] {
        let (mut pairs, mut plain) = crowd(&commons(compression, Limits::default()));
        for round in 0..5 {
            let text = format!("{round}: {}", json(5000));
            let frame = SharedFrame::text(&text);
            pairs.iter_mut().for_each(|pair| send(&mut pair.link, &frame));
            plain.iter_mut().for_each(|link| send(link, &frame));
            for window in [SHARED, WINDOW_OF_9_BITS] {
                let alike = pairs.iter().filter(|pair| pair.answer == window);
                let addresses: Vec<_> = alike.map(|pair| address(&pair.link)).collect();
                assert!(addresses.len() >= 8 && addresses.iter().all(|&one| one == addresses[0]), "{window}");
            }
            let mut waits: Vec<(usize, &str)> =
                pairs.iter().map(|pair| (pair.link.connection.queued_bytes(), &*pair.answer)).collect();
            waits.sort_unstable();
            waits.dedup();
            let kinds: std::collections::BTreeSet<&str> = waits.iter().map(|&(_, answer)| answer).collect();
            assert_eq!(kinds.len(), if compression == Compression::Shared { 2 } else { 3 }, "{waits:?}");
            for pair in &mut pairs {
                assert!(pair.take() == [(true, TEXT, text.clone().into_bytes())], "{compression:?}: {}", pair.answer);
            }
            for link in &mut plain {
                assert_eq!(address(link), frame.as_bytes().as_ptr());
                assert_eq!(link.take_frames(), [ServerFrame::new(TEXT, text.as_bytes())]);
            }
        }
    }
}

/// Two frames that follow each other for many are put together for all of them: not for those who get other bytes.
#[test]
fn frames_that_follow_each_other_for_many_stay_right_for_each() {
    for compression in [Compression::Shared, Compression::Takeover { contexts_max: 2 }] {
        let commons = commons(compression, Limits::default());
        let (mut pairs, mut plain) = crowd(&commons);
        let texts: Vec<String> = (0..6).map(|n| format!("{n}{}", json([1500, 40, 2500][n % 3]))).collect();
        let frames: Vec<SharedFrame> = texts.iter().map(|text| SharedFrame::text(text)).collect();
        // What is said in one turn goes over all receivers, one frame after the other.
        for frame in &frames {
            pairs.iter_mut().for_each(|pair| send(&mut pair.link, frame));
            plain.iter_mut().for_each(|link| send(link, frame));
        }
        let slices = |pair: &Pair| pair.link.connection.outgoing().count();
        assert!(pairs.iter().any(|pair| slices(pair) < frames.len() / 2), "some are joined");
        for pair in &mut pairs {
            let payloads: Vec<Vec<u8>> = pair.take().into_iter().map(|(_, _, payload)| payload).collect();
            assert!(payloads.iter().eq(texts.iter().map(String::as_bytes)), "{compression:?}: {}", pair.answer);
        }
        for link in &mut plain {
            let payloads: Vec<Vec<u8>> = link.take_frames().into_iter().map(|frame| frame.payload).collect();
            assert!(payloads.iter().eq(texts.iter().map(String::as_bytes)));
        }
    }
}

#[test]
fn a_broadcast_counts_compressed_in_the_queue_of_who_gets_it_compressed() {
    let commons = commons(Compression::Shared, Limits { queue_bytes_max: 10_000, ..Limits::default() });
    let mut pair = Pair::open(&commons, "permessage-deflate");
    let (mut plain, _) = handshake(&commons, "");
    let frame = SharedFrame::text(&json(20_000));
    send(&mut pair.link, &frame);
    assert!(!plain.connection.send_shared(&frame, plain.now), "20,000 bytes are too many for its queue");
    let bytes = pair.link.take(usize::MAX);
    assert!(frames(&bytes)[0].0 && bytes.len() < 5000);
}
