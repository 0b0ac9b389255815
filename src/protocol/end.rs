//! §7.1.5 to §7.1.7: why a connection ended, and the word and the close code that say so.

use std::fmt;

use super::close::CloseCode;
use super::error::{HandshakeError, ProtocolError};

/// Why a connection ended: the first cause, whatever followed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The opening handshake was refused.
    Refused(HandshakeError),
    /// It was no opening handshake but a request for a document, and was answered.
    Answered,
    /// The peer began the closing handshake, with this code.
    ClosedByPeer(Option<CloseCode>),
    /// We began the closing handshake, with this code.
    ClosedByUs(CloseCode),
    /// We failed the connection (§7.1.7).
    Failed(ProtocolError),
    /// The peer ended the transport without a Close frame.
    Lost,
    /// The transport broke.
    Reset,
    /// The peer gave no sign of life.
    HeartbeatTimeout,
    /// The peer took nothing of what waited for it, for too long. With the code that it is told.
    SlowReader(CloseCode),
    /// More waited for the peer than its queue may hold. With the code that it is told.
    QueueFull(CloseCode),
}

impl End {
    /// The code of the Close frame that the peer was sent or has sent; `None` where there was none.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            End::Refused(_) | End::Answered | End::Lost | End::Reset => None,
            End::ClosedByPeer(code) => *code,
            End::ClosedByUs(code) => Some(*code),
            End::Failed(error) => Some(error.close_code()),
            End::HeartbeatTimeout => Some(CloseCode::HEARTBEAT_TIMEOUT),
            End::SlowReader(code) | End::QueueFull(code) => Some(*code),
        }
    }

    /// One word for the log and the metrics.
    pub fn word(&self) -> &'static str {
        match self {
            End::Refused(error) => error.word(),
            End::Answered => "answered",
            End::ClosedByPeer(_) => "closed_by_peer",
            End::ClosedByUs(code) => code_word(*code),
            End::Failed(error) => code_word(error.close_code()),
            End::Lost => "connection_lost",
            End::Reset => "connection_reset",
            End::HeartbeatTimeout => "heartbeat_timeout",
            End::SlowReader(code) | End::QueueFull(code) => code_word(*code),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Refused(error) => write!(f, "{error}"),
            End::Failed(error) => write!(f, "{error}"),
            End::SlowReader(_) => write!(f, "the peer took nothing of what waited for it"),
            End::QueueFull(_) => write!(f, "more waited for the peer than its queue may hold"),
            other => f.write_str(other.word()),
        }
    }
}

/// The word that stands for a code in close frames, log lines and metrics.
pub(super) fn code_word(code: CloseCode) -> &'static str {
    match code {
        CloseCode::NORMAL => "normal",
        CloseCode::GOING_AWAY => "shutdown",
        CloseCode::PROTOCOL_ERROR => "protocol_error",
        CloseCode::UNSUPPORTED_DATA => "binary",
        CloseCode::INVALID_PAYLOAD => "bad_utf8",
        CloseCode::POLICY_VIOLATION => "policy",
        CloseCode::MESSAGE_TOO_BIG => "message_too_large",
        CloseCode::INTERNAL_ERROR => "internal",
        CloseCode::SERVICE_RESTART => "restart",
        CloseCode::TRY_AGAIN_LATER => "overloaded",
        CloseCode::UNSUPPORTED_VERSION => "unsupported_version",
        CloseCode::UNAUTHORIZED => "unauthorized",
        CloseCode::FORBIDDEN => "forbidden",
        CloseCode::REPLACED => "replaced",
        CloseCode::RATE_LIMITED => "rate_limited",
        CloseCode::SLOW_CONSUMER => "slow_consumer",
        CloseCode::HELLO_TIMEOUT => "hello_timeout",
        CloseCode::CONNECTION_LIMIT => "connection_limit",
        CloseCode::TOKEN_EXPIRED => "token_expired",
        CloseCode::HEARTBEAT_TIMEOUT => "heartbeat_timeout",
        _ => "closed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_word_and_says_what_happened() {
        let code = |number| CloseCode::new(number).unwrap();
        for (end, word, text) in [
            (End::Refused(HandshakeError::Key), HandshakeError::Key.word(), HandshakeError::Key.to_string()),
            (End::Answered, "answered", "answered".to_owned()),
            (End::ClosedByPeer(None), "closed_by_peer", "closed_by_peer".to_owned()),
            (End::ClosedByUs(CloseCode::NORMAL), "normal", "normal".to_owned()),
            (End::ClosedByUs(CloseCode::GOING_AWAY), "shutdown", "shutdown".to_owned()),
            (End::ClosedByUs(CloseCode::UNSUPPORTED_DATA), "binary", "binary".to_owned()),
            (End::ClosedByUs(CloseCode::POLICY_VIOLATION), "policy", "policy".to_owned()),
            (End::ClosedByUs(CloseCode::INTERNAL_ERROR), "internal", "internal".to_owned()),
            (End::ClosedByUs(CloseCode::SERVICE_RESTART), "restart", "restart".to_owned()),
            (End::ClosedByUs(code(4000)), "unsupported_version", "unsupported_version".to_owned()),
            (End::ClosedByUs(code(4001)), "unauthorized", "unauthorized".to_owned()),
            (End::ClosedByUs(code(4002)), "forbidden", "forbidden".to_owned()),
            (End::ClosedByUs(code(4003)), "replaced", "replaced".to_owned()),
            (End::ClosedByUs(code(4100)), "rate_limited", "rate_limited".to_owned()),
            (End::ClosedByUs(code(4102)), "hello_timeout", "hello_timeout".to_owned()),
            (End::ClosedByUs(code(4103)), "connection_limit", "connection_limit".to_owned()),
            (End::ClosedByUs(code(4200)), "token_expired", "token_expired".to_owned()),
            (End::ClosedByUs(code(4321)), "closed", "closed".to_owned()),
            (End::Failed(ProtocolError::CloseTooShort), "protocol_error", ProtocolError::CloseTooShort.to_string()),
            (End::Failed(ProtocolError::InvalidUtf8), "bad_utf8", ProtocolError::InvalidUtf8.to_string()),
            (
                End::Failed(ProtocolError::TooManyFrames(1)),
                "message_too_large",
                "a message of more than 1 frames".to_owned(),
            ),
            (End::Lost, "connection_lost", "connection_lost".to_owned()),
            (End::Reset, "connection_reset", "connection_reset".to_owned()),
            (End::HeartbeatTimeout, "heartbeat_timeout", "heartbeat_timeout".to_owned()),
            (
                End::SlowReader(CloseCode::TRY_AGAIN_LATER),
                "overloaded",
                "the peer took nothing of what waited for it".to_owned(),
            ),
            (
                End::QueueFull(CloseCode::TRY_AGAIN_LATER),
                "overloaded",
                "more waited for the peer than its queue may hold".to_owned(),
            ),
            (
                End::QueueFull(CloseCode::SLOW_CONSUMER),
                "slow_consumer",
                "more waited for the peer than its queue may hold".to_owned(),
            ),
        ] {
            assert_eq!((end.word(), end.to_string()), (word, text), "{end:?}");
        }
        assert_eq!(code_word(CloseCode::HEARTBEAT_TIMEOUT), "heartbeat_timeout");
    }
}
