//! RFC 7692: permessage-deflate, the one extension (§9) that this server knows.
//!
//! ```text
//!   payload --compress--> compressed, without its last 4 bytes 00 00 ff ff --> a frame with RSV1
//!   frames, the first with RSV1 --collect--> compressed, and 00 00 ff ff --decompress, step by step--> payload
//! ```
//!
//! What comes is kept compressed until its message is whole, and then decompressed for one connection at a time. So whoever
//! sends a part of a message makes the server hold no more than was sent, and of a bomb of 1000:1 no more is ever
//! decompressed than a message may have.
//!
//! This file owns what a connection has agreed on, and what all of them share. [`negotiation`] is RFC 7692 §7.1, `context` its
//! §7.2, and [`MessageCodec`] the same for who has no connection. Builds without the feature `deflate` have `no_deflate.rs` in its place.

mod codec;
mod context;
pub mod negotiation;

use std::cell::{Cell, RefCell};
use std::mem::take;
use std::rc::Rc;

pub use self::codec::MessageCodec;
use self::context::{Compressor, Decompressor, SCRATCH_BYTES};
use self::negotiation::{Agreement, SERVER_WINDOW_BITS_MIN, WINDOW_BITS_MAX, negotiate};
use super::compression::Compression;
use super::error::ProtocolError;
use super::frame::Opcode;
use super::handshake::Request;
use super::message::{Message, PartialPayload};
use super::shared_frame::SharedFrame;

/// Whether this build can compress.
pub(super) const IS_THERE: bool = true;

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Deflate {
    compression: Compression,
    engine: RefCell<Engine>,
    /// Connections that have a place among those with contexts of their own.
    places: Rc<Cell<usize>>,
}

/// What all connections use that have no context of their own. It is made when it is needed first, and stays.
#[derive(Debug, Default)]
struct Engine {
    /// One for each size of a window, from [`SERVER_WINDOW_BITS_MIN`] bits on. Nearly always only the largest is needed.
    compressors: [Option<Box<Compressor>>; (WINDOW_BITS_MAX - SERVER_WINDOW_BITS_MIN + 1) as usize],
    decompressor: Option<Box<Decompressor>>,
    scratch: Vec<u8>,
}

/// What a connection has agreed on with its peer: nothing, unless compression is on.
#[derive(Debug, Default)]
pub(super) struct Extension(Option<Box<Agreed>>);

#[derive(Debug)]
struct Agreed {
    server_window_bits: u8,
    compressor: Context<Compressor>,
    decompressor: Context<Decompressor>,
    _place: Option<Place>,
}

/// What is known of the messages before.
#[derive(Debug)]
enum Context<T> {
    /// Nothing: RFC 7692 calls it no context takeover.
    None,
    /// This, once it was needed.
    Own(Option<Box<T>>),
}

/// A place among those with contexts of their own.
#[derive(Debug)]
struct Place(Rc<Cell<usize>>);

/// The compressed forms of a frame that many receive, one for each size of a window; `None` where it got no smaller.
#[derive(Debug, Default)]
pub(super) struct Variants(RefCell<Vec<(u8, Option<SharedFrame>)>>);

impl Variants {
    /// The form for a window of so many bits.
    pub(super) fn get_or_insert_with(
        &self,
        window_bits: u8,
        make: impl FnOnce() -> Option<SharedFrame>,
    ) -> Option<SharedFrame> {
        let known = self.0.borrow().iter().find(|(bits, _)| *bits == window_bits).map(|(_, variant)| variant.clone());
        known.unwrap_or_else(|| {
            let variant = make();
            self.0.borrow_mut().push((window_bits, variant.clone()));
            variant
        })
    }
}

impl Deflate {
    pub(super) fn new(compression: Compression) -> Deflate {
        Deflate { compression, engine: RefCell::default(), places: Rc::default() }
    }

    /// Accepts an offer, or none. Returns what the connection needs for it, and the value of
    /// `Sec-WebSocket-Extensions` in the response.
    pub(super) fn negotiate(&self, request: &Request) -> (Extension, Option<String>) {
        let has_place = match self.compression {
            Compression::Off => return (Extension(None), None),
            Compression::Shared => false,
            Compression::Takeover { contexts_max } => self.places.get() < contexts_max,
        };
        let Some(agreement) = negotiate(&request.extensions(), has_place) else { return (Extension(None), None) };
        (Extension(Some(Box::new(Agreed::new(agreement, &self.places)))), Some(agreement.to_string()))
    }

    /// Heap bytes that are held for all connections together, about.
    pub(super) fn held_bytes(&self) -> usize {
        let engine = self.engine.borrow();
        let compressors = engine.compressors.iter().flatten().count() * Compressor::SHARED_BYTES;
        compressors + engine.decompressor.iter().count() * Decompressor::BYTES + engine.scratch.capacity()
    }
}

impl Agreed {
    fn new(agreement: Agreement, places: &Rc<Cell<usize>>) -> Agreed {
        let has_compressor = !agreement.server_no_context_takeover;
        let has_decompressor = !agreement.client_no_context_takeover;
        Agreed {
            server_window_bits: agreement.server_window_bits(),
            compressor: if has_compressor { Context::Own(None) } else { Context::None },
            decompressor: if has_decompressor { Context::Own(None) } else { Context::None },
            _place: (has_compressor || has_decompressor).then(|| Place::take(places)),
        }
    }
}

impl Place {
    fn take(places: &Rc<Cell<usize>>) -> Place {
        places.set(places.get() + 1);
        Place(places.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Engine {
    /// Compresses a payload by itself; `None` where it gets no smaller.
    fn compress(&mut self, payload: &[u8], window_bits: u8) -> Option<Vec<u8>> {
        let compressor = &mut self.compressors[usize::from(window_bits - SERVER_WINDOW_BITS_MIN)];
        let compressor = compressor.get_or_insert_with(|| Box::new(Compressor::shared(window_bits)));
        compressor.reset();
        let compressed = compressor.compress(payload, scratch(&mut self.scratch));
        (compressed.len() < payload.len()).then_some(compressed)
    }
}

/// Room for what comes out of a step.
fn scratch(scratch: &mut Vec<u8>) -> &mut [u8] {
    scratch.resize(SCRATCH_BYTES, 0);
    scratch
}

impl Extension {
    /// Whether RSV1 has a meaning, and messages may be compressed.
    #[inline]
    pub(super) fn is_agreed(&self) -> bool {
        self.0.is_some()
    }

    /// Heap bytes that the connection owns for it, about.
    pub(super) fn held_bytes(&self) -> usize {
        let Some(agreed) = &self.0 else { return 0 };
        let has = |is_there| usize::from(is_there);
        let compressor = has(matches!(agreed.compressor, Context::Own(Some(_)))) * Compressor::OWN_BYTES;
        let decompressor = has(matches!(agreed.decompressor, Context::Own(Some(_)))) * Decompressor::BYTES;
        size_of::<Agreed>() + compressor + decompressor
    }

    /// Whether messages refer to those before them, so that no other connection can send the same.
    pub(super) fn has_own_compressor(&self) -> bool {
        self.0.as_ref().is_some_and(|agreed| matches!(agreed.compressor, Context::Own(_)))
    }

    /// The window of the compressor, in bits; 0 if there is none.
    pub(super) fn window_bits(&self) -> u8 {
        self.0.as_ref().map_or(0, |agreed| agreed.server_window_bits)
    }

    /// The compressed form of a payload, if it is to be sent so.
    pub(super) fn compress(&mut self, payload: &[u8], deflate: &Deflate) -> Option<Vec<u8>> {
        let agreed = self.0.as_mut()?;
        let mut engine = deflate.engine.borrow_mut();
        match &mut agreed.compressor {
            Context::None if payload.len() < PAYLOAD_BYTES_MIN_ALONE => None,
            Context::None => engine.compress(payload, agreed.server_window_bits),
            Context::Own(_) if payload.len() < PAYLOAD_BYTES_MIN => None,
            Context::Own(own) => {
                let compressor = own.get_or_insert_with(|| Box::new(Compressor::own(agreed.server_window_bits)));
                // It is sent even if it got no smaller: messages that follow may refer to it.
                Some(compressor.compress(payload, scratch(&mut engine.scratch)))
            }
        }
    }

    /// The message whose compressed payload this is.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidDeflate`]; [`ProtocolError::InvalidUtf8`] and [`ProtocolError::MessageTooBig`] as soon as
    /// what is decompressed shows it.
    pub(super) fn decompress(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        message_bytes_max: usize,
        deflate: &Deflate,
    ) -> Result<Message<'static>, ProtocolError> {
        let agreed = self.0.as_mut().expect("without an agreement no frame with RSV1 comes as far as here");
        let Engine { decompressor, scratch: room, .. } = &mut *deflate.engine.borrow_mut();
        let own = match &mut agreed.decompressor {
            Context::Own(own) => own,
            Context::None => {
                if let Some(decompressor) = decompressor {
                    decompressor.reset();
                }
                decompressor
            }
        };
        let decompressor = own.get_or_insert_with(|| Box::new(Decompressor::new()));
        let mut message = PartialPayload::new(opcode);
        decompressor.decompress(payload, scratch(room), |chunk| {
            let bytes = message.len() + chunk.len();
            if bytes > message_bytes_max {
                // How many they are nobody knows: no more is decompressed.
                return Err(ProtocolError::MessageTooBig { announced: bytes as u64, limit: message_bytes_max as u64 });
            }
            reserve(&mut message, chunk.len(), message_bytes_max);
            message.append(chunk)
        })?;
        message.finish()
    }
}

/// Makes room for more bytes of a message of at most `bytes_max`, and never for more than those: its buffer grows to twice its
/// size each time, and at last to all of them.
fn reserve(message: &mut PartialPayload, more: usize, bytes_max: usize) {
    let (needed, capacity) = (message.len() + more, message.capacity());
    if needed <= capacity {
        return;
    }
    let half = bytes_max / 2;
    let capacity = if needed <= half { (2 * capacity).clamp(needed, half) } else { bytes_max };
    match message {
        PartialPayload::Text { text, .. } => text.reserve_exact(capacity - text.len()),
        PartialPayload::Binary(payload) => {
            let mut bytes = take(payload).into_vec();
            bytes.reserve_exact(capacity - bytes.len());
            *payload = bytes.into();
        }
    }
}

/// Shorter payloads hardly get smaller by themselves: they are JSON, mostly.
const PAYLOAD_BYTES_MIN_ALONE: usize = 1024;

/// The same where messages before are known.
const PAYLOAD_BYTES_MIN: usize = 64;
