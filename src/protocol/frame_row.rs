//! §5.4: no frame goes inside another. Finds the boundaries in a row of whole frames that we encoded ourselves.
//!
//! The send queue keeps no list of boundaries: they are needed only when a control frame overtakes data in a queue that
//! the socket has not taken whole, and then they can be read from the frames.

use super::frame::{FrameHeader, Opcode};

/// Drops the frames of which all was sent, and returns their length.
pub(super) fn drop_sent_frames(frames: &mut Vec<u8>, sent: usize) -> usize {
    let mut dropped = 0;
    while dropped < sent {
        let (_, end) = frame_at(frames, dropped);
        if end > sent {
            break;
        }
        dropped = end;
    }
    frames.drain(..dropped);
    dropped
}

/// Drops the frames with this opcode of which nothing was sent.
pub(super) fn drop_frames(frames: &mut Vec<u8>, sent: usize, opcode: Opcode) {
    let mut kept = frames[..frame_end(frames, sent)].to_vec();
    let mut start = kept.len();
    while start < frames.len() {
        let (header, end) = frame_at(frames, start);
        if header.opcode != opcode {
            kept.extend_from_slice(&frames[start..end]);
        }
        start = end;
    }
    *frames = kept;
}

/// The end of the frame in which the byte before `position` lies, in a row of whole frames.
pub(super) fn frame_end(frames: &[u8], position: usize) -> usize {
    let mut end = 0;
    while end < position {
        end = frame_at(frames, end).1;
    }
    end
}

/// The header of the frame that begins at `start`, and where the frame ends.
fn frame_at(frames: &[u8], start: usize) -> (FrameHeader, usize) {
    let header = FrameHeader::parse(&frames[start..]).ok().flatten();
    let (header, header_end) = header.expect("we encoded these frames, and all of them are whole");
    (header, start + header_end + header.payload_len as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ping, a text of 126 bytes (with a longer header), a pong, an empty text.
    fn row() -> (Vec<u8>, Vec<usize>) {
        let text = [&b"\x81\x7e\x00\x7e"[..], &[b'x'; 126]].concat();
        let frames = [b"\x89\x01a".to_vec(), text, b"\x8a\x01b".to_vec(), b"\x81\x00".to_vec()];
        let ends = frames.iter().scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        });
        let ends = ends.collect();
        (frames.concat(), ends)
    }

    #[test]
    fn the_end_of_the_frame_around_each_position() {
        let (row, ends) = row();
        assert_eq!(frame_end(&row, 0), 0);
        for position in 1..=row.len() {
            let expected = ends.iter().copied().find(|&end| end >= position);
            assert_eq!(Some(frame_end(&row, position)), expected, "position {position}");
        }
    }

    #[test]
    fn only_whole_frames_that_were_sent_are_dropped() {
        for sent in 0..=row().0.len() {
            let (mut frames, ends) = row();
            let expected = ends.iter().copied().rfind(|&end| end <= sent).unwrap_or(0);
            assert_eq!(drop_sent_frames(&mut frames, sent), expected, "{sent} bytes were sent");
            assert_eq!(frames, row().0[expected..]);
        }
    }

    #[test]
    fn frames_with_an_opcode_are_dropped_but_for_one_that_was_begun() {
        let (whole, ends) = row();
        let without_pong = [&whole[..ends[1]], &whole[ends[2]..]].concat();
        for sent in 0..=whole.len() {
            let (mut frames, _) = row();
            drop_frames(&mut frames, sent, Opcode::Pong);
            let expected = if sent > ends[1] { &whole } else { &without_pong };
            assert_eq!(&frames, expected, "{sent} bytes were sent");
        }
    }
}
