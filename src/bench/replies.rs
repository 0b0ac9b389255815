//! §5.2 to §5.5 as a client sees them: the server's frames, wherever a read cuts them.
//!
//! Headers are parsed by the protocol core. Payloads are passed on where they lie: what nobody looks at is skipped.

use frameloop::protocol::close::parse_close_payload;
use frameloop::protocol::frame::{FrameHeader, Opcode};

/// Takes what the server sent.
pub(crate) trait Sink {
    /// The next bytes of a message.
    ///
    /// # Errors
    /// What is wrong with the message.
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), String>;

    /// A Ping, which has to be answered with this payload.
    fn ping(&mut self, payload: &[u8]);

    /// A Close, with this payload.
    ///
    /// # Errors
    /// The server was not asked to close.
    fn close(&mut self, payload: &[u8]) -> Result<(), String> {
        Err(match parse_close_payload(payload) {
            Ok(None) => "the server closed the connection without a code".to_owned(),
            Ok(Some((code, reason))) => format!("the server closed the connection: {code} {reason}"),
            Err(error) => format!("the server's Close frame is wrong: {error}"),
        })
    }
}

/// A part of a message, as one read had it. A message that lay whole in one read and one frame is one piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'b> {
    /// Text or binary.
    pub(crate) opcode: Opcode,
    /// RFC 7692 §6: the bytes are those of its compressed form.
    pub(crate) is_compressed: bool,
    /// The bytes of the message before it.
    pub(crate) offset: u64,
    pub(crate) bytes: &'b [u8],
    /// The message ends with it.
    pub(crate) is_last: bool,
}

/// How far the frames of one connection have been read.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// Messages may be compressed.
    pub(crate) has_rsv1: bool,
    /// The first bytes of a header that a read cut.
    spilled: [u8; FrameHeader::BYTES_MAX],
    spilled_len: usize,
    /// The frame whose payload a read cut, and how many bytes of it are to come.
    cut: Option<(FrameHeader, u64)>,
    /// The message whose fragments are coming, whether it is compressed, and how many bytes of it have come.
    message: Option<(Opcode, bool, u64)>,
    /// The payload of a control frame that a read cut.
    control: Vec<u8>,
}

impl Replies {
    /// Takes all that was read.
    ///
    /// # Errors
    /// What the sink complains of, or the rule of framing that the server broke. Then the connection is of no use.
    #[inline]
    pub(crate) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> Result<(), String> {
        let mut cut = self.cut.take();
        loop {
            let (header, left) = match cut.take() {
                Some(cut) => cut,
                None => match self.take_header(&mut bytes)? {
                    Some(header) => (header, header.payload_len),
                    None => return Ok(()),
                },
            };
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let (payload, rest) = bytes.split_at(taken);
            bytes = rest;
            let left = left - taken as u64;
            if header.opcode.is_control() {
                self.take_control(&header, payload, left == 0, sink)?;
            } else {
                self.take_data(&header, payload, left == 0, sink)?;
            }
            if left > 0 {
                // What comes of it belongs to a message that has begun.
                let is_control = header.opcode.is_control();
                let opcode = if is_control { header.opcode } else { Opcode::Continuation };
                self.cut = Some((FrameHeader { opcode, ..header }, left));
                return Ok(());
            }
        }
    }

    /// The next header, from the front of `bytes`.
    #[inline]
    fn take_header(&mut self, bytes: &mut &[u8]) -> Result<Option<FrameHeader>, String> {
        let (parsed, kept) = if self.spilled_len == 0 {
            (FrameHeader::parse_with(bytes, self.has_rsv1), 0)
        } else {
            let added = bytes.len().min(FrameHeader::BYTES_MAX - self.spilled_len);
            let end = self.spilled_len + added;
            self.spilled[self.spilled_len..end].copy_from_slice(&bytes[..added]);
            (FrameHeader::parse_with(&self.spilled[..end], self.has_rsv1), self.spilled_len)
        };
        match parsed {
            Ok(Some((header, header_end))) => {
                *bytes = &bytes[header_end - kept..];
                self.spilled_len = 0;
                if header.masking_key.is_some() {
                    return Err("the server masked a frame".to_owned()); // §5.1: MUST NOT
                }
                Ok(Some(header))
            }
            Ok(None) => {
                // What did not parse is shorter than the longest header, so that it fits.
                let end = kept + bytes.len();
                self.spilled[kept..end].copy_from_slice(bytes);
                self.spilled_len = end;
                *bytes = &[];
                Ok(None)
            }
            Err(error) => Err(format!("the server broke the protocol: {error}")),
        }
    }

    #[inline]
    fn take_data(
        &mut self,
        header: &FrameHeader,
        bytes: &[u8],
        is_frame_end: bool,
        sink: &mut impl Sink,
    ) -> Result<(), String> {
        let (opcode, is_compressed, offset) = match (header.opcode, self.message) {
            (Opcode::Continuation, Some(message)) => message,
            (Opcode::Continuation, None) => {
                return Err("the server continued a message that it had not begun".to_owned()); // §5.4
            }
            (opcode, None) => (opcode, header.rsv1, 0),
            (_, Some(_)) => return Err("the server began a message inside another".to_owned()), // §5.4
        };
        let is_last = is_frame_end && header.fin;
        self.message = (!is_last).then_some((opcode, is_compressed, offset + bytes.len() as u64));
        if bytes.is_empty() && !is_last {
            return Ok(());
        }
        sink.piece(Piece { opcode, is_compressed, offset, bytes, is_last })
    }

    fn take_control(
        &mut self,
        header: &FrameHeader,
        bytes: &[u8],
        is_frame_end: bool,
        sink: &mut impl Sink,
    ) -> Result<(), String> {
        self.control.extend_from_slice(bytes); // §5.5: 125 bytes at most
        if !is_frame_end {
            return Ok(());
        }
        let payload = std::mem::take(&mut self.control);
        match header.opcode {
            Opcode::Ping => sink.ping(&payload),
            Opcode::Close => sink.close(&payload)?,
            _ => {} // §5.5.3: a Pong that answers nothing is no mistake
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came, with messages put together.
    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        message: Vec<u8>,
        events: Vec<(Opcode, Vec<u8>)>,
    }

    impl Sink for Seen {
        fn piece(&mut self, piece: Piece<'_>) -> Result<(), String> {
            assert_eq!(piece.offset, self.message.len() as u64);
            self.message.extend_from_slice(piece.bytes);
            if piece.is_last {
                self.events.push((piece.opcode, std::mem::take(&mut self.message)));
            }
            Ok(())
        }

        fn ping(&mut self, payload: &[u8]) {
            self.events.push((Opcode::Ping, payload.to_vec()));
        }
    }

    fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        FrameHeader { fin, rsv1: false, opcode, masking_key: None, payload_len: payload.len() as u64 }
            .encode(&mut frame);
        frame.extend_from_slice(payload);
        frame
    }

    /// Feeds a stream in reads of so many bytes.
    fn feed(stream: &[u8], read: usize) -> (Seen, Result<(), String>) {
        let (mut replies, mut seen) = (Replies::default(), Seen::default());
        let result = stream.chunks(read).try_for_each(|bytes| replies.feed(bytes, &mut seen));
        (seen, result)
    }

    #[test]
    fn messages_are_the_same_whatever_the_cuts() {
        let long: Vec<u8> = (0..70_000u32).map(|i| (i * 7) as u8).collect();
        let stream = [
            frame(true, Opcode::Text, b"hello"),
            frame(false, Opcode::Binary, &long[..300]),
            frame(true, Opcode::Ping, b"are you there"),
            frame(false, Opcode::Continuation, b""),
            frame(true, Opcode::Pong, b"unasked"),
            frame(true, Opcode::Continuation, &long[300..1000]),
            frame(true, Opcode::Binary, &long),
            frame(true, Opcode::Text, b""),
            frame(false, Opcode::Text, b""),
            frame(true, Opcode::Continuation, b""),
            frame(true, Opcode::Ping, b""),
        ]
        .concat();
        let expected = [
            (Opcode::Text, b"hello".to_vec()),
            (Opcode::Ping, b"are you there".to_vec()),
            (Opcode::Binary, long[..1000].to_vec()),
            (Opcode::Binary, long.clone()),
            (Opcode::Text, Vec::new()),
            (Opcode::Text, Vec::new()),
            (Opcode::Ping, Vec::new()),
        ];
        for read in (1..20).chain([64, 1000, 65_536, stream.len()]) {
            let (seen, result) = feed(&stream, read);
            assert_eq!(result, Ok(()), "{read}");
            assert!(seen.events == expected && seen.message.is_empty(), "reads of {read} bytes");
        }
    }

    #[test]
    fn a_server_that_breaks_a_rule_is_caught() {
        for (stream, names) in [
            (frame(true, Opcode::Continuation, b"x"), "not begun"),
            ([frame(false, Opcode::Text, b"a"), frame(true, Opcode::Text, b"b")].concat(), "inside another"),
            (vec![0xc1, 1, b'x'], "protocol"),
            (vec![0x83, 1, b'x'], "protocol"),
            (vec![0x81, 0x81, 0, 0, 0, 0, b'x'], "masked"),
            (frame(false, Opcode::Ping, b""), "protocol"),
            (frame(true, Opcode::Close, b"\x03\xe9shutdown"), "1001 shutdown"),
            (frame(true, Opcode::Close, b""), "without a code"),
            (frame(true, Opcode::Close, b"\x03"), "Close frame is wrong"),
        ] {
            for read in [1, 2, 3, 100] {
                let error = feed(&stream, read).1.expect_err(names);
                assert!(error.contains(names), "{error}");
            }
        }
    }
}
