//! What must hold for any bytes whatever: the bodies of the fuzz targets in `fuzz/`, for tests and for your own targets.
//!
//! Each function takes bytes of which a fuzzer knows nothing, makes of them what it needs, and panics where its
//! invariant is broken. Where reads are cut, where the clock jumps and who speaks is read from the input as well, so
//! that a failure is repeated by the input alone.
//!
//! | function | what must hold |
//! |---|---|
//! | [`frame_header`] | parse, then encode is the identity; each prefix gives the same error or none |
//! | [`mask`] | the fast way is the formula of §5.3; masking twice is nothing |
//! | [`utf8`] | the standard library agrees, whatever the cuts, and the failure comes as soon as it can |
//! | [`close_payload`] | only payloads of §5.5.1 and codes of §7.4 are taken; encoding gives them back |
//! | [`handshake`] | any cuts give the same; what is accepted keeps §4.2.1; the accept value is right; a refusal says why |
//! | [`connection`] | any cuts give the same; nothing after the end; memory is bounded by what was received |
//! | [`lifecycle`] | whatever is called in whatever order: whole frames come out, one Close at most, and nothing behind it |
//! | [`wire`] | no JSON panics; what is relayed is valid JSON; what is refused is answered with valid JSON |
//! | [`chat`] | nobody hears itself, all others hear each message once and in order; the hub forgets who left |
//! | [`proxy_header`] | each prefix is a header, an error or nothing yet, and stays it; what is made of an address names it |
//! | [`requests`] | no request panics; what is accepted keeps its bounds and is lent from the input; an error echoes the id |
//! | [`sessions`] | between gaps all chats come once and in order, whatever lines and readers do; at the end nothing is left |
//! | [`tokens`] | no token that was not given or signed is granted; a cookie needs its `Origin`; a mask leaves no token |
//! | [`inflate`] | compressed messages are the same whatever the cuts, and to [`Inflater`]; all that is compressed comes back |
//! | [`extension_offers`] | the first offer that can be is accepted, with nothing that was not offered |
//! | [`differential`] | tungstenite makes the same of the same stream, but for [a short list](differential()) |
//!
//! For targets of your own, [`Source`] makes choices of an input, and [`cut`] cuts a stream into reads.
//!
//! Available with the feature `test-support`.

mod chat;
mod connection;
mod deflate;
mod differential;
mod frames;
mod handshake;
mod inflater;
mod proxy_header;
mod requests;
mod sessions;
mod source;
mod tokens;

pub use chat::{chat, wire};
pub use connection::{connection, lifecycle};
pub use deflate::{extension_offers, inflate};
pub use differential::{Difference, differential};
pub use frames::{close_payload, frame_header, mask, utf8};
pub use handshake::handshake;
pub use inflater::Inflater;
pub use proxy_header::proxy_header;
pub use requests::requests;
pub use sessions::sessions;
pub use source::{Source, cut};
pub use tokens::tokens;
