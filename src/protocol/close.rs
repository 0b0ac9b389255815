//! §5.5.1, §7.4: the payload of a Close frame: nothing, or a close code and a reason.

use std::fmt;

use super::error::ProtocolError;
use super::limits::CONTROL_PAYLOAD_BYTES_MAX;

/// A close code (§7.4), such as 1000.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: the endpoint goes away: the server stops, or the page is left.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke a rule of the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003: a type of data that this endpoint does not take.
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    /// 1007: a text message was not valid UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// 1008: a policy of this endpoint was broken.
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    /// 1009: a message too big to process.
    pub const MESSAGE_TOO_BIG: CloseCode = CloseCode(1009);
    /// 1011: the server met a condition that it did not expect.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// 1012: the server restarts (IANA registry).
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// 1013: the server is overloaded, or the peer too slow: try again later (IANA registry).
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// 4000: this server's own code, from the range for applications, as all that follow: it does not speak that version.
    pub const UNSUPPORTED_VERSION: CloseCode = CloseCode(4000);
    /// 4001: the client has not shown who it is.
    pub const UNAUTHORIZED: CloseCode = CloseCode(4001);
    /// 4002: the client has no right to be here.
    pub const FORBIDDEN: CloseCode = CloseCode(4002);
    /// 4003: another connection took the place of this one.
    pub const REPLACED: CloseCode = CloseCode(4003);
    /// 4100: the client goes on sending more than it may.
    pub const RATE_LIMITED: CloseCode = CloseCode(4100);
    /// 4101: the peer is too slow, and can go on where it was.
    pub const SLOW_CONSUMER: CloseCode = CloseCode(4101);
    /// 4102: no `hello` in time.
    pub const HELLO_TIMEOUT: CloseCode = CloseCode(4102);
    /// 4103: the client's user has as many connections as it may.
    pub const CONNECTION_LIMIT: CloseCode = CloseCode(4103);
    /// 4200: what showed who the client is holds no longer.
    pub const TOKEN_EXPIRED: CloseCode = CloseCode(4200);
    /// 4201: no sign of life from the peer.
    pub const HEARTBEAT_TIMEOUT: CloseCode = CloseCode(4201);

    /// The code with this number, if it may stand in a Close frame (§7.4.1, §7.4.2).
    ///
    /// 1004 is reserved, 1005, 1006 and 1015 stand for "no Close frame" and "no code" and are never sent,
    /// 1012 to 1014 were registered after the RFC, 3000 to 4999 belong to libraries and applications.
    pub fn new(number: u16) -> Option<CloseCode> {
        matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(CloseCode(number))
    }

    /// The number that stands in the frame.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Parses the payload of a Close frame into its code and reason; `None` where it is empty.
///
/// # Errors
/// A payload of one byte, a code that must not be sent (both 1002), a reason that is not UTF-8 (1007).
pub fn parse_close_payload(payload: &[u8]) -> Result<Option<(CloseCode, &str)>, ProtocolError> {
    match payload {
        [] => Ok(None),
        [_] => Err(ProtocolError::CloseTooShort), // §5.5.1: if there is a body, it begins with a 2-byte code
        [high, low, reason @ ..] => {
            let number = u16::from_be_bytes([*high, *low]);
            let code = CloseCode::new(number).ok_or(ProtocolError::InvalidCloseCode(number))?;
            let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
            Ok(Some((code, reason)))
        }
    }
}

/// Makes the payload of a Close frame. A reason that does not fit into a control frame (§5.5: 125 bytes in all)
/// is cut before the character that is too much.
pub fn encode_close_payload(code: CloseCode, reason: &str) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(CONTROL_PAYLOAD_BYTES_MAX - 2)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.number().to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_shows_its_number() {
        assert_eq!(format!("{0} {0:?}", CloseCode::GOING_AWAY), "1001 CloseCode(1001)");
    }

    #[test]
    fn exactly_the_codes_that_may_be_sent_are_valid() {
        let valid: Vec<u16> = (0..=u16::MAX).filter(|&number| CloseCode::new(number).is_some()).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(valid, expected);
    }

    #[test]
    fn a_payload_is_empty_or_has_a_code() {
        assert_eq!(parse_close_payload(b""), Ok(None));
        assert_eq!(parse_close_payload(b"\x03"), Err(ProtocolError::CloseTooShort));
        assert_eq!(parse_close_payload(b"\x03\xe8"), Ok(Some((CloseCode::NORMAL, ""))));
        assert_eq!(parse_close_payload(b"\x0f\xa0bye"), Ok(Some((CloseCode::new(4000).unwrap(), "bye"))));
        assert_eq!(parse_close_payload(b"\x03\xed"), Err(ProtocolError::InvalidCloseCode(1005)));
        assert_eq!(parse_close_payload(b"\x03\xe8\xff"), Err(ProtocolError::InvalidUtf8));
    }

    #[test]
    fn what_is_encoded_parses_back_and_a_long_reason_is_cut_at_a_character() {
        let payload = encode_close_payload(CloseCode::GOING_AWAY, "shutdown");
        assert_eq!(parse_close_payload(&payload), Ok(Some((CloseCode::GOING_AWAY, "shutdown"))));
        let payload = encode_close_payload(CloseCode::NORMAL, &"€".repeat(60));
        assert_eq!(payload.len(), 2 + 41 * 3, "42 characters would make 128 bytes");
        assert!(parse_close_payload(&payload).is_ok());
    }
}
