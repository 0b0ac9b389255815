//! Ranges of addresses (RFC 4632, RFC 4291 §2.3), such as those of trusted proxies.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
///
/// An IPv4 address that is written as an IPv6 one (`::ffff:10.0.0.1`, RFC 4291 §2.5.5.2) is the same as itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: u128,
    /// Bits that all addresses of it share, of 128.
    prefix: u32,
}

impl Network {
    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & mask(self.prefix) == self.first
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    /// Parses `ADDRESS/BITS`, or an address alone.
    ///
    /// # Errors
    /// [`InvalidNetwork`], which names the text and what would be right.
    fn from_str(text: &str) -> Result<Network, InvalidNetwork> {
        let fail = |why: &str| Err(InvalidNetwork(format!("'{text}' {why}")));
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return fail("is no range of addresses: give an address, or one with its bits, such as 10.0.0.0/8");
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        // Without a sign and without zeros in front, as the library would take them.
        let number =
            |text: &str| text.parse().ok().filter(|length: &u32| *length <= most && length.to_string() == text);
        let Some(length) = length.map_or(Some(most), number) else {
            return fail(&format!("has no number from 0 to {most} behind its /"));
        };
        let prefix = length + 128 - most;
        let network = Network { first: bits(address) & mask(prefix), prefix };
        if network.first != bits(address) {
            return fail(&format!("has bits set behind the first {length}: give {network}"));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = Ipv6Addr::from_bits(self.first);
        match first.to_ipv4_mapped().filter(|_| self.prefix >= 96) {
            Some(first) => write!(f, "{first}/{}", self.prefix - 96),
            None => write!(f, "{first}/{}", self.prefix),
        }
    }
}

/// A text that is no range of addresses, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidNetwork(String);

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidNetwork {}

/// Whom an address stands for: itself, and of IPv6 its /64, for who has one of its addresses has all of them.
pub(super) fn household(address: IpAddr) -> u128 {
    let bits = bits(address);
    if Ipv6Addr::from_bits(bits).to_ipv4_mapped().is_some() { bits } else { bits & mask(64) }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(prefix: u32) -> u128 {
    if prefix == 0 { 0 } else { u128::MAX << (128 - prefix) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_range_has_the_addresses_with_its_first_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7/32", "::ffff:192.0.2.7", "::ffff:192.0.2.6"),
            ("::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("fd00::1", "fd00::1", "fd00::2"),
            ("::1/128", "::1", "127.0.0.1"),
        ] {
            assert!(contains(network, inside), "{network} has {inside}");
            assert!(!contains(network, outside), "{network} has not {outside}");
        }
        assert!(contains("::/0", "::1") && contains("::/0", "1.2.3.4"));
    }

    #[test]
    fn what_is_no_range_is_named_with_what_would_be_right() {
        for (text, names) in [
            ("", "10.0.0.0/8"),
            ("proxy", "10.0.0.0/8"),
            ("10.0.0/8", "10.0.0.0/8"),
            ("10.0.0.01", "10.0.0.0/8"),
            ("10.0.0.1:80", "10.0.0.0/8"),
            ("[::1]", "10.0.0.0/8"),
            ("10.0.0.0/", "0 to 32"),
            ("10.0.0.0/33", "0 to 32"),
            ("10.0.0.0/+8", "0 to 32"),
            ("10.0.0.0/08", "0 to 32"),
            ("10.0.0.0/8/8", "0 to 32"),
            ("::/129", "0 to 128"),
            ("10.1.2.3/8", "give 10.0.0.0/8"),
            ("192.0.2.129/25", "give 192.0.2.128/25"),
            ("1.2.3.4/0", "give 0.0.0.0/0"),
            ("2001:db8::1/32", "give 2001:db8::/32"),
            ("::ffff:10.1.0.0/104", "give 10.0.0.0/8"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("'{text}' ")) && error.contains(names), "{error}");
        }
    }

    #[test]
    fn an_ipv6_address_stands_for_its_64() {
        let of = |address: &str| household(address.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("::1"), of("127.0.0.1"));
    }
}
