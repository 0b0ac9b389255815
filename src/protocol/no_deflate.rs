//! What stands for permessage-deflate in a build without the feature `deflate`: no offer is accepted.

use super::compression::Compression;
use super::error::ProtocolError;
use super::frame::Opcode;
use super::handshake::Request;
use super::message::Message;
use super::shared_frame::SharedFrame;

pub(super) const IS_THERE: bool = false;

#[derive(Debug)]
pub(super) struct Deflate(());

#[derive(Debug, Default)]
pub(super) struct Extension(());

#[derive(Debug, Default)]
pub(super) struct Variants(());

/// RFC 7692 §7.2 for who has agreed on no context takeover in either direction; in this build there is none.
#[derive(Debug)]
pub enum MessageCodec {}

impl MessageCodec {
    /// `None`: it needs the feature `deflate`.
    pub fn new() -> Option<MessageCodec> {
        None
    }

    /// The compressed form of a payload.
    pub fn compress(&mut self, _: &[u8]) -> Vec<u8> {
        match *self {}
    }

    /// The payload of which this is the compressed form.
    ///
    /// # Errors
    /// None, as there is no codec.
    pub fn decompress(&mut self, _: &[u8], _: usize) -> Result<Vec<u8>, ProtocolError> {
        match *self {}
    }
}

impl Variants {
    pub(super) fn get_or_insert_with(&self, _: u8, _: impl FnOnce() -> Option<SharedFrame>) -> Option<SharedFrame> {
        None
    }
}

impl Deflate {
    pub(super) fn new(_: Compression) -> Deflate {
        Deflate(())
    }

    pub(super) fn negotiate(&self, _: &Request) -> (Extension, Option<String>) {
        (Extension(()), None)
    }

    pub(super) fn held_bytes(&self) -> usize {
        0
    }
}

impl Extension {
    #[inline]
    pub(super) fn is_agreed(&self) -> bool {
        false
    }

    pub(super) fn held_bytes(&self) -> usize {
        0
    }

    pub(super) fn window_bits(&self) -> u8 {
        0
    }

    pub(super) fn compress(&mut self, _: &[u8], _: &Deflate) -> Option<Vec<u8>> {
        None
    }

    pub(super) fn has_own_compressor(&self) -> bool {
        false
    }

    pub(super) fn decompress(
        &mut self,
        _: Opcode,
        _: &[u8],
        _: usize,
        _: &Deflate,
    ) -> Result<Message<'static>, ProtocolError> {
        Err(ProtocolError::InvalidDeflate) // no frame with RSV1 comes as far as here
    }
}
