//! `X-Forwarded-For`: whom a proxy that is trusted speaks for.
//!
//! Each proxy appends the address that it was asked by. So the list is read from its end, as far as those who wrote it are
//! trusted: what stands before that came from the client, who may have written anything.

use std::net::{IpAddr, SocketAddr};

use crate::protocol::HandshakeError;

/// The client behind a trusted proxy, by the values of all `X-Forwarded-For` lines: the last address that is not trusted
/// itself, or the first one if all are. Without any, it is the proxy.
///
/// # Errors
/// [`HandshakeError::MalformedHead`] where a trusted proxy has written what is no address: who it was cannot be known then, and
/// to guess another would be to let somebody be counted, and noted, as somebody else.
pub(super) fn client(
    values: &[&[u8]],
    proxy: SocketAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Result<SocketAddr, HandshakeError> {
    let elements = values.iter().rev().flat_map(|value| value.rsplit(|&byte| byte == b','));
    let mut client = proxy;
    for element in elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()) {
        client = parse_address(element).ok_or(HandshakeError::MalformedHead("an address in X-Forwarded-For"))?;
        if !is_trusted(client.ip()) {
            break;
        }
    }
    Ok(client)
}

/// An address with or without a port; that is 0 where there is none.
fn parse_address(element: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(element).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let ip = match bare {
        Some(bare) => bare.parse().map(IpAddr::V6).ok(),
        None => text.parse().ok(),
    };
    ip.map(|ip| SocketAddr::new(ip, 0)).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1:4000";

    /// Proxies have addresses that begin with 10.
    fn client_of(values: &[&str]) -> Result<String, HandshakeError> {
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let is_trusted = |ip: IpAddr| ip.to_string().starts_with("10.");
        client(&values, PROXY.parse().unwrap(), is_trusted).map(|client| client.to_string())
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_clients() {
        for (values, expected) in [
            (&[][..], PROXY),
            (&[""], PROXY),
            (&[" , ,"], PROXY),
            (&["192.0.2.1"], "192.0.2.1:0"),
            (&["192.0.2.1:1234"], "192.0.2.1:1234"),
            (&["2001:db8::1"], "[2001:db8::1]:0"),
            (&["[2001:db8::1]"], "[2001:db8::1]:0"),
            (&["[2001:db8::1]:80"], "[2001:db8::1]:80"),
            (&["192.0.2.9, 192.0.2.1"], "192.0.2.1:0"),
            (&["192.0.2.9,\t192.0.2.1 , 10.0.0.7,10.9.9.9"], "192.0.2.1:0"),
            (&["192.0.2.9", "192.0.2.1", "10.0.0.7"], "192.0.2.1:0"),
            (&["192.0.2.9, 192.0.2.1", "10.0.0.7, 10.0.0.8"], "192.0.2.1:0"),
            (&["10.0.0.9, 10.0.0.7"], "10.0.0.9:0"),
            (&["10.0.0.9, 192.0.2.1"], "192.0.2.1:0"),
            // What stands before it is the client's own claim, whatever it is.
            (&["nobody, \", 192.0.2.1"], "192.0.2.1:0"),
            (&["127.0.0.1", "unknown", "192.0.2.1, 10.0.0.7"], "192.0.2.1:0"),
        ] {
            assert_eq!(client_of(values).as_deref(), Ok(expected), "{values:?}");
        }
    }

    #[test]
    fn what_a_trusted_proxy_wrote_and_is_no_address_is_refused() {
        for value in [
            "unknown",
            "192.0.2.1, unknown",
            "192.0.2.1, _hidden, 10.0.0.7",
            "192.0.2.1 192.0.2.2",
            "192.0.2.01",
            "192.0.2.1:x",
            "192.0.2.1:99999",
            "[192.0.2.1]",
            "[2001:db8::1",
            "\"192.0.2.1\"",
            "for=192.0.2.1",
        ] {
            assert!(matches!(client_of(&[value]), Err(HandshakeError::MalformedHead(_))), "{value}");
        }
    }
}
