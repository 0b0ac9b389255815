//! RFC 7692 §5, §7.1: which offer of permessage-deflate is accepted, and with what.
//!
//! ```text
//! client   Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10, permessage-deflate
//! server   Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_max_window_bits=10
//! ```

use std::fmt;

use crate::protocol::handshake::fields::ExtensionOffer;

/// What server and client agree on: one offer of the client's, and what the server makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// RFC 7692 §7.1.1.1: the server compresses each message by itself.
    pub server_no_context_takeover: bool,
    /// RFC 7692 §7.1.1.2: the client does.
    pub client_no_context_takeover: bool,
    /// RFC 7692 §7.1.2.1: the server's window has 2 to the power of this many bytes at most, which the client has asked for.
    pub server_max_window_bits: Option<u8>,
}

impl Agreement {
    /// The window of the server's compressor, in bits.
    pub fn server_window_bits(&self) -> u8 {
        self.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX)
    }
}

impl fmt::Display for Agreement {
    /// The value of `Sec-WebSocket-Extensions` in the response.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        Ok(())
    }
}

/// Accepts the first offer that can be: they stand in the client's order of preference (RFC 7692 §5). With `takeover` messages
/// may refer to those before them, unless the client wants it otherwise.
pub fn negotiate(offers: &[ExtensionOffer<'_>], takeover: bool) -> Option<Agreement> {
    offers.iter().find_map(|offer| accept(offer, takeover))
}

/// RFC 7692 §7.1: an offer with a parameter that is unknown, there twice, or of no valid value MUST be declined.
fn accept(offer: &ExtensionOffer<'_>, takeover: bool) -> Option<Agreement> {
    if offer.name != NAME {
        return None;
    }
    let (mut server_no_context_takeover, mut client_no_context_takeover) = (None, None);
    let (mut server_max_window_bits, mut client_max_window_bits) = (None, None);
    for (name, value) in &offer.parameters {
        let value = value.as_deref();
        let is_first = match *name {
            // §7.1.1.1, §7.1.1.2: no value.
            "server_no_context_takeover" if value.is_none() => server_no_context_takeover.replace(()).is_none(),
            "client_no_context_takeover" if value.is_none() => client_no_context_takeover.replace(()).is_none(),
            // §7.1.2.1: a value. Our compressor has no window of 8 bits.
            "server_max_window_bits" => {
                let bits = parse_window_bits(value?).filter(|&bits| bits >= SERVER_WINDOW_BITS_MIN)?;
                server_max_window_bits.replace(bits).is_none()
            }
            // §7.1.2.2: with a value or without. Our decompressor has the largest window, in which all smaller ones fit:
            // there is nothing to answer.
            "client_max_window_bits" => {
                let bits = value.map(parse_window_bits);
                bits != Some(None) && client_max_window_bits.replace(()).is_none()
            }
            _ => false,
        };
        if !is_first {
            return None;
        }
    }
    Some(Agreement {
        server_no_context_takeover: !takeover || server_no_context_takeover.is_some(),
        client_no_context_takeover: !takeover || client_no_context_takeover.is_some(),
        server_max_window_bits,
    })
}

/// RFC 7692 §7.1.2: a decimal number from 8 to 15 without leading zeros.
fn parse_window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok().filter(|bits| (WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(bits))?;
    value.starts_with(|first: char| first.is_ascii_digit() && first != '0').then_some(bits)
}

/// RFC 7692 §7: the name of the extension.
pub const NAME: &str = "permessage-deflate";

const WINDOW_BITS_MIN: u8 = 8;

/// The smallest window that a compressor of ours has.
pub(super) const SERVER_WINDOW_BITS_MIN: u8 = 9;

/// The largest window of DEFLATE, in bits.
pub(super) const WINDOW_BITS_MAX: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::handshake::fields::parse_extensions;

    fn answer(offers: &str, takeover: bool) -> Option<String> {
        let offers = parse_extensions([offers.as_bytes()]).expect("it keeps the grammar");
        negotiate(&offers, takeover).map(|agreement| agreement.to_string())
    }

    #[test]
    fn what_is_offered_is_answered_without_takeover_and_with_it() {
        let both = "; server_no_context_takeover; client_no_context_takeover";
        for (offer, without, with) in [
            ("", both.to_owned(), ""),
            ("; client_max_window_bits", both.to_owned(), ""),
            ("; client_max_window_bits=8", both.to_owned(), ""),
            ("; client_max_window_bits=\"10\"", both.to_owned(), ""),
            ("; server_no_context_takeover", both.to_owned(), "; server_no_context_takeover"),
            ("; client_no_context_takeover", both.to_owned(), "; client_no_context_takeover"),
            ("; server_max_window_bits=9", format!("{both}; server_max_window_bits=9"), "; server_max_window_bits=9"),
            (
                "; server_max_window_bits=15",
                format!("{both}; server_max_window_bits=15"),
                "; server_max_window_bits=15",
            ),
        ] {
            let offer = format!("permessage-deflate{offer}");
            assert_eq!(answer(&offer, false), Some(format!("permessage-deflate{without}")), "{offer}");
            assert_eq!(answer(&offer, true), Some(format!("permessage-deflate{with}")), "{offer}");
        }
        let all = "permessage-deflate; client_max_window_bits=9; server_max_window_bits=12; \
                   client_no_context_takeover; server_no_context_takeover";
        assert_eq!(answer(all, true), Some(format!("permessage-deflate{both}; server_max_window_bits=12")));
    }

    #[test]
    fn an_offer_that_cannot_be_accepted_is_declined() {
        for offer in [
            "permessage-bzip2",
            "Permessage-Deflate",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1",
            "permessage-deflate; SERVER_NO_CONTEXT_TAKEOVER",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=9.0",
            "permessage-deflate; server_max_window_bits=265",
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=010",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        ] {
            for takeover in [false, true] {
                assert_eq!(answer(offer, takeover), None, "{offer}");
                let next = format!("{offer}, permessage-deflate; server_max_window_bits=11");
                assert!(
                    answer(&next, takeover).is_some_and(|it| it.ends_with("=11")),
                    "the next one is looked at: {next}"
                );
            }
        }
    }

    #[test]
    fn the_first_offer_that_can_be_is_accepted() {
        let offers = "x-other, permessage-deflate; server_max_window_bits=10, permessage-deflate";
        assert_eq!(answer(offers, true), Some("permessage-deflate; server_max_window_bits=10".to_owned()));
        let offers = "permessage-deflate, permessage-deflate; server_max_window_bits=10";
        assert_eq!(answer(offers, true), Some("permessage-deflate".to_owned()));
    }
}
