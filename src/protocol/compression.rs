//! Whether messages are compressed (RFC 7692).

pub use super::deflate::MessageCodec;

/// Whether messages are compressed, and what is kept for it (RFC 7692). All but `Off` needs the cargo feature `deflate`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// They are not: every offer of permessage-deflate is declined.
    #[default]
    Off,
    /// Each message by itself: the connections share one compressor and one decompressor, and nothing is kept for any of
    /// them. A message to many is compressed once.
    Shared,
    /// Messages refer to those before them, which makes small ones much smaller: a compressor and a decompressor for each
    /// connection, for so many connections at a time. Those beyond them are as with `Shared`.
    Takeover {
        /// Connections with a compressor and a decompressor of their own.
        contexts_max: usize,
    },
}

impl Compression {
    /// Whether this build can compress.
    pub const IS_THERE: bool = super::deflate::IS_THERE;
}
