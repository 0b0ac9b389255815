//! §4.2.1, §9.1, §11.3: header fields that hold lists. One linear pass over each, no regular expressions.
//!
//! A list in several lines is the same as one line with commas between them (§11.3.2, §11.3.4), so that `1#` (RFC 2616
//! §2.1: at least one element that is not empty) counts over all of them: a line without an element is allowed beside
//! another that has one.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// An extension that a client offers (§9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionOffer<'h> {
    /// Its name, such as `permessage-deflate`.
    pub name: &'h str,
    /// Its parameters in their order, with their values where they have one.
    pub parameters: Vec<(&'h str, Option<Cow<'h, str>>)>,
}

/// Whether a comma-separated list has this token, without case (RFC 9110 §5.6.1).
pub fn has_token(value: &[u8], token: &str) -> bool {
    elements(value).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// Parses the lines of `Sec-WebSocket-Protocol`; `None` if together they are not a list of tokens with at least one of
/// them, or if one is there twice (§4.1: 1#token, all of them unique). Names are compared with case.
pub fn parse_subprotocols<'h>(lines: impl IntoIterator<Item = &'h [u8]>) -> Option<Vec<&'h str>> {
    let elements = lines.into_iter().flat_map(elements);
    let token = |element| str::from_utf8(element).ok().filter(|_| is_token(element));
    let tokens: Option<Vec<&str>> = elements.map(token).collect();
    // A tree, for it costs no more than the sum of the lengths, times the logarithm of their number.
    let mut seen = BTreeSet::new();
    tokens.filter(|tokens| !tokens.is_empty() && tokens.iter().all(|token| seen.insert(*token)))
}

/// RFC 9110 §5.6.2: the characters of a token.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Parses the lines of `Sec-WebSocket-Extensions`; `None` if together they break the grammar of §9.1, which wants at least
/// one extension.
pub fn parse_extensions<'h>(lines: impl IntoIterator<Item = &'h [u8]>) -> Option<Vec<ExtensionOffer<'h>>> {
    let mut offers = Vec::new();
    for line in lines {
        parse_extension_line(line, &mut offers)?;
    }
    (!offers.is_empty()).then_some(offers)
}

/// Appends the extensions of one line, which may have none.
fn parse_extension_line<'h>(line: &'h [u8], offers: &mut Vec<ExtensionOffer<'h>>) -> Option<()> {
    let mut rest = Cursor { rest: line };
    loop {
        rest.skip_blanks();
        if rest.rest.is_empty() {
            return Some(());
        }
        if rest.take(b',') {
            continue; // an empty element
        }
        let mut offer = ExtensionOffer { name: rest.token()?, parameters: Vec::new() };
        rest.skip_blanks();
        while rest.take(b';') {
            rest.skip_blanks();
            let name = rest.token()?;
            rest.skip_blanks();
            let mut parameter = (name, None);
            if rest.take(b'=') {
                rest.skip_blanks();
                parameter.1 = Some(rest.token_or_quoted()?);
                rest.skip_blanks();
            }
            offer.parameters.push(parameter);
        }
        offers.push(offer);
        if !rest.rest.is_empty() && !rest.take(b',') {
            return None;
        }
    }
}

/// The elements of a comma-separated list without blanks around them, empty ones left out.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Whether this is a token (RFC 9110 §5.6.2): at least one character, and all of them allowed.
pub fn is_token(element: &[u8]) -> bool {
    !element.is_empty() && element.iter().copied().all(is_token_byte)
}

struct Cursor<'h> {
    rest: &'h [u8],
}

impl<'h> Cursor<'h> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Option<&'h str> {
        let end = self.rest.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        str::from_utf8(token).ok().filter(|token| !token.is_empty())
    }

    /// §9.1: a value may be quoted; without its quotes and escapes it must be a token all the same.
    fn token_or_quoted(&mut self) -> Option<Cow<'h, str>> {
        if !self.take(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = String::new();
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let byte = match byte {
                b'"' => return (!value.is_empty()).then_some(Cow::Owned(value)),
                b'\\' => {
                    let (&escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    escaped
                }
                byte => byte,
            };
            if !is_token_byte(byte) {
                return None;
            }
            value.push(char::from(byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_a_list() {
        assert!(has_token(b"keep-alive,\tUpgrade", "upgrade"));
        assert!(has_token(b",, websocket ,", "websocket"));
        assert!(!has_token(b"NotUpgrade, upgrade2", "upgrade"));
    }

    fn subprotocols<'h>(lines: &[&'h str]) -> Option<Vec<&'h str>> {
        parse_subprotocols(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn subprotocols_are_tokens_and_at_least_one() {
        assert_eq!(subprotocols(&["b,, a ,"]), Some(vec!["b", "a"]));
        for lines in [&["b", "a"][..], &["", "b, a"], &["b", ",", "a"]] {
            assert_eq!(subprotocols(lines), Some(vec!["b", "a"]), "{lines:?} is the same list in several lines");
        }
        for lines in [&[][..], &[""], &[","], &[",, ,\t"], &["", ","]] {
            assert_eq!(subprotocols(lines), None, "{lines:?} has no element");
        }
        for lines in [&["a b"][..], &["a, b c, d"], &["a b, c"], &["a", "b/c"], &["b\u{e9}"]] {
            assert_eq!(subprotocols(lines), None, "{lines:?} has one that is no token");
        }
    }

    #[test]
    fn a_subprotocol_that_is_there_twice_is_found_wherever_it_stands() {
        for lines in [&["a, a"][..], &["a, b, a"], &["a", "a"], &["b, a", "c", "d, a"]] {
            assert_eq!(subprotocols(lines), None, "{lines:?}");
        }
        assert_eq!(subprotocols(&["a, A", "aa"]), Some(vec!["a", "A", "aa"]), "names are compared with case");
    }

    fn extensions(line: &str) -> Option<Vec<ExtensionOffer<'_>>> {
        parse_extensions([line.as_bytes()])
    }

    #[test]
    fn extensions_with_parameters() {
        let offers = extensions("a ; b ;c=1; d = \"x\\y\" ,, e;f").unwrap();
        let parameter = |value: &'static str| Some(Cow::Borrowed(value));
        assert_eq!(
            offers,
            [
                ExtensionOffer {
                    name: "a",
                    parameters: vec![("b", None), ("c", parameter("1")), ("d", parameter("xy"))]
                },
                ExtensionOffer { name: "e", parameters: vec![("f", None)] },
            ]
        );
    }

    #[test]
    fn what_breaks_the_grammar_of_extensions() {
        for value in
            ["a;", "a; =b", "a;b=", "a b", "a;b=\"", "a;b=\"\"", "a;b=\"c d\"", "a;b=\"c\\", "(a)", "a;b c", ";a"]
        {
            assert_eq!(extensions(value), None, "{value:?}");
            assert_eq!(parse_extensions([&b"a"[..], value.as_bytes()]), None, "{value:?} in a second line");
        }
    }

    #[test]
    fn there_is_at_least_one_extension_in_all_lines_together() {
        for value in ["", ",", " , ", ",,\t,"] {
            assert_eq!(extensions(value), None, "{value:?}");
            assert_eq!(parse_extensions([value.as_bytes(), b""]), None, "{value:?}");
            assert_eq!(parse_extensions([value.as_bytes(), b"a"]), extensions("a"), "{value:?}");
        }
        assert_eq!(parse_extensions([]), None);
    }

    #[test]
    fn a_long_list_costs_linear_time() {
        // 8,000 elements, nothing remembered between them but the offers themselves.
        let value = "a;b=\"c\",".repeat(8000);
        assert_eq!(extensions(&value).map(|offers| offers.len()), Some(8000));
    }
}
