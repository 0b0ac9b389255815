//! One variant per broken rule, and the one place that says what each is answered with.
//!
//! [`ProtocolError`] fails an open connection with a close code (§7.4.1); [`HandshakeError`] refuses an opening
//! handshake with an HTTP status (§4.2.2).

use std::fmt;

use super::close::CloseCode;
use super::limits::{CONTROL_PAYLOAD_BYTES_MAX, HEAD_BYTES_MAX, HEADER_COUNT_MAX};
use super::utf8::InvalidUtf8;

/// A rule of §5, §7 or §8 that a peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// §5.2: opcodes 3 to 7 and 11 to 15 are reserved.
    ReservedOpcode(u8),
    /// §5.2: RSV1 to RSV3 must be 0 unless an extension gives them a meaning. The bits, as they stand in the byte.
    ReservedBits(u8),
    /// §5.1: a frame from a client must be masked.
    UnmaskedFrame,
    /// §5.2: the length must be in its shortest form.
    LengthNotMinimal(u64),
    /// §5.2: the most significant bit of a 64-bit length must be 0.
    LengthTooLarge(u64),
    /// §5.5: a control frame must not be longer than 125 bytes.
    ControlFrameTooLong,
    /// §5.5: a control frame must not be fragmented.
    ControlFrameFragmented,
    /// §5.4: a continuation frame without a message to continue.
    UnexpectedContinuation,
    /// §5.4: a new data frame while a fragmented message is not complete.
    ExpectedContinuation,
    /// §8.1: text, or the reason of a Close frame, that is not valid UTF-8.
    InvalidUtf8,
    /// RFC 7692 §7.2.2: the payload of a compressed message that is no DEFLATE data, or that ends within a block.
    InvalidDeflate,
    /// §10.4: a message of more bytes than the limit. Bytes announced so far, and the limit.
    MessageTooBig {
        /// Bytes of the message, with the payload that the last header announced.
        announced: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// §10.4: a message of more frames than the limit, which stands here.
    TooManyFrames(u32),
    /// §5.5.1: the payload of a Close frame is empty or begins with a 2-byte code.
    CloseTooShort,
    /// §7.4: a close code that must not stand in a Close frame.
    InvalidCloseCode(u16),
}

impl ProtocolError {
    /// The code of the Close frame that fails the connection (§7.4.1).
    pub fn close_code(&self) -> CloseCode {
        match self {
            ProtocolError::InvalidUtf8 | ProtocolError::InvalidDeflate => CloseCode::INVALID_PAYLOAD,
            ProtocolError::MessageTooBig { .. } | ProtocolError::TooManyFrames(_) => CloseCode::MESSAGE_TOO_BIG,
            ProtocolError::ReservedOpcode(_)
            | ProtocolError::ReservedBits(_)
            | ProtocolError::UnmaskedFrame
            | ProtocolError::LengthNotMinimal(_)
            | ProtocolError::LengthTooLarge(_)
            | ProtocolError::ControlFrameTooLong
            | ProtocolError::ControlFrameFragmented
            | ProtocolError::UnexpectedContinuation
            | ProtocolError::ExpectedContinuation
            | ProtocolError::CloseTooShort
            | ProtocolError::InvalidCloseCode(_) => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::ReservedOpcode(opcode) => write!(f, "opcode {opcode:#x} is reserved (§5.2)"),
            ProtocolError::ReservedBits(bits) => {
                write!(f, "RSV bits {bits:#04x} are set where no extension gives them a meaning (§5.2)")
            }
            ProtocolError::UnmaskedFrame => write!(f, "a frame from a client must be masked (§5.1)"),
            ProtocolError::LengthNotMinimal(length) => {
                write!(f, "the length {length} is not in its shortest form (§5.2)")
            }
            ProtocolError::LengthTooLarge(length) => {
                write!(f, "the top bit of the length {length:#x} is set (§5.2)")
            }
            ProtocolError::ControlFrameTooLong => {
                write!(f, "a control frame holds at most {CONTROL_PAYLOAD_BYTES_MAX} bytes (§5.5)")
            }
            ProtocolError::ControlFrameFragmented => write!(f, "a control frame must not be fragmented (§5.5)"),
            ProtocolError::UnexpectedContinuation => write!(f, "there is no message to continue (§5.4)"),
            ProtocolError::ExpectedContinuation => {
                write!(f, "a new data frame inside a fragmented message (§5.4)")
            }
            ProtocolError::InvalidUtf8 => write!(f, "text must be valid UTF-8 (§8.1)"),
            ProtocolError::InvalidDeflate => {
                write!(f, "a compressed message that is not DEFLATE data (RFC 7692 §7.2.2)")
            }
            ProtocolError::MessageTooBig { announced, limit } => {
                write!(f, "a message of {announced} bytes, at most {limit} are taken")
            }
            ProtocolError::TooManyFrames(limit) => write!(f, "a message of more than {limit} frames"),
            ProtocolError::CloseTooShort => write!(f, "a Close payload of one byte (§5.5.1)"),
            ProtocolError::InvalidCloseCode(code) => write!(f, "close code {code} must not be sent (§7.4)"),
        }
    }
}

impl std::error::Error for ProtocolError {}

impl From<InvalidUtf8> for ProtocolError {
    fn from(_: InvalidUtf8) -> ProtocolError {
        ProtocolError::InvalidUtf8
    }
}

/// Why an opening handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// The request head is longer than [`HEAD_BYTES_MAX`].
    HeadTooLarge,
    /// More header fields than [`HEADER_COUNT_MAX`].
    TooManyHeaders,
    /// The head breaks the grammar of HTTP/1.1; the words say where.
    MalformedHead(&'static str),
    /// §4.2.1: the method must be GET.
    MethodNotGet,
    /// §4.2.1: HTTP/1.1 or later.
    HttpVersion,
    /// §4.2.1: exactly one `Host` with the server's authority, that of the target if that is an absolute URI.
    Host,
    /// A request with a body: what follows the head are frames.
    RequestBody,
    /// The request does not ask for WebSocket at all: there is no `Upgrade: websocket`.
    NotAnUpgrade,
    /// There is no document at the path that was asked for.
    NotFound,
    /// §10.2: the page that asks is of another site than those that may.
    Origin,
    /// The `Host` is none by which this server may be asked: a name of somebody else's that leads to it.
    ForeignHost,
    /// §10.5: the client has not shown who it is; the words say why, and hold nothing that it sent.
    Unauthorized(&'static str),
    /// The address of this client has as many connections as it may.
    ConnectionLimit,
    /// Its user has.
    UserLimit,
    /// Too many connections from its address in too short a time.
    AcceptRate,
    /// §4.2.1: `Connection` must hold the token `Upgrade`.
    ConnectionWithoutUpgrade,
    /// §4.2.1: exactly one `Sec-WebSocket-Key` that decodes to 16 bytes.
    Key,
    /// §4.2.2, §4.4: a version other than 13.
    Version,
    /// §11.3.5: more than one `Sec-WebSocket-Version`.
    RepeatedVersion,
    /// §9.1: `Sec-WebSocket-Extensions` breaks its grammar.
    Extensions,
    /// §4.1, §11.3.4: `Sec-WebSocket-Protocol` is not a list of tokens, each once.
    Subprotocols,
    /// The request head was not complete in time.
    Timeout,
    /// The server takes no more connections.
    Overloaded,
}

impl HandshakeError {
    /// The HTTP status of the response and its reason phrase.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            HandshakeError::HeadTooLarge | HandshakeError::TooManyHeaders => (431, "Request Header Fields Too Large"),
            HandshakeError::Unauthorized(_) => (401, "Unauthorized"),
            HandshakeError::Origin | HandshakeError::ForeignHost => (403, "Forbidden"),
            HandshakeError::NotFound => (404, "Not Found"),
            HandshakeError::MethodNotGet => (405, "Method Not Allowed"),
            HandshakeError::NotAnUpgrade | HandshakeError::Version => (426, "Upgrade Required"),
            HandshakeError::Timeout => (408, "Request Timeout"),
            HandshakeError::ConnectionLimit | HandshakeError::UserLimit => (429, "Too Many Requests"),
            HandshakeError::AcceptRate | HandshakeError::Overloaded => (503, "Service Unavailable"),
            HandshakeError::MalformedHead(_)
            | HandshakeError::HttpVersion
            | HandshakeError::Host
            | HandshakeError::RequestBody
            | HandshakeError::ConnectionWithoutUpgrade
            | HandshakeError::Key
            | HandshakeError::RepeatedVersion
            | HandshakeError::Extensions
            | HandshakeError::Subprotocols => (400, "Bad Request"),
        }
    }

    /// One word for the response, the log and the metrics.
    pub fn word(&self) -> &'static str {
        match self {
            HandshakeError::HeadTooLarge => "head_too_large",
            HandshakeError::TooManyHeaders => "too_many_headers",
            HandshakeError::MalformedHead(_) => "malformed_head",
            HandshakeError::MethodNotGet => "method_not_get",
            HandshakeError::HttpVersion => "http_version",
            HandshakeError::Host => "bad_host",
            HandshakeError::RequestBody => "request_body",
            HandshakeError::NotAnUpgrade => "not_an_upgrade",
            HandshakeError::NotFound => "not_found",
            HandshakeError::Origin => "origin_not_allowed",
            HandshakeError::ForeignHost => "host_not_allowed",
            HandshakeError::Unauthorized(_) => "unauthorized",
            HandshakeError::ConnectionLimit => "connection_limit",
            HandshakeError::UserLimit => "user_limit",
            HandshakeError::AcceptRate => "accept_rate",
            HandshakeError::ConnectionWithoutUpgrade => "connection_without_upgrade",
            HandshakeError::Key => "bad_key",
            HandshakeError::Version | HandshakeError::RepeatedVersion => "bad_version",
            HandshakeError::Extensions => "bad_extensions",
            HandshakeError::Subprotocols => "bad_subprotocols",
            HandshakeError::Timeout => "handshake_timeout",
            HandshakeError::Overloaded => "overloaded",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::HeadTooLarge => write!(f, "the request head is longer than {HEAD_BYTES_MAX} bytes"),
            HandshakeError::TooManyHeaders => write!(f, "more than {HEADER_COUNT_MAX} header fields"),
            HandshakeError::MalformedHead(what) => write!(f, "the request head is malformed: {what}"),
            HandshakeError::MethodNotGet => write!(f, "the method must be GET"),
            HandshakeError::HttpVersion => write!(f, "the request must be HTTP/1.1 or later"),
            HandshakeError::Host => write!(f, "exactly one Host header with a host name is required"),
            HandshakeError::RequestBody => write!(f, "a request with a body cannot be upgraded"),
            HandshakeError::NotAnUpgrade => {
                write!(f, "this is a WebSocket server: the request must have 'Upgrade: websocket'")
            }
            HandshakeError::NotFound => write!(f, "there is nothing at this path"),
            HandshakeError::Origin => write!(f, "pages of this Origin may not connect here"),
            HandshakeError::ForeignHost => write!(f, "this server does not go by this Host"),
            HandshakeError::Unauthorized(why) => write!(f, "a valid token is required: {why}"),
            HandshakeError::ConnectionLimit => write!(f, "this address has as many connections as it may"),
            HandshakeError::UserLimit => write!(f, "this user has as many connections as it may"),
            HandshakeError::AcceptRate => write!(f, "too many connections from this address in a short time"),
            HandshakeError::ConnectionWithoutUpgrade => write!(f, "the Connection header must have 'Upgrade'"),
            HandshakeError::Key => {
                write!(f, "exactly one Sec-WebSocket-Key is required, the base64 of 16 bytes")
            }
            HandshakeError::Version => write!(f, "Sec-WebSocket-Version must be 13"),
            HandshakeError::RepeatedVersion => write!(f, "Sec-WebSocket-Version must stand once"),
            HandshakeError::Extensions => write!(f, "Sec-WebSocket-Extensions is not a list of extensions"),
            HandshakeError::Subprotocols => write!(f, "Sec-WebSocket-Protocol is not a list of tokens, each once"),
            HandshakeError::Timeout => write!(f, "the request head was not complete in time"),
            HandshakeError::Overloaded => write!(f, "the server takes no more connections, try again later"),
        }
    }
}

impl std::error::Error for HandshakeError {}
