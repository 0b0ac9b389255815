//! §4.2.1, §9.1, §11.3: header fields that hold lists. One linear pass over each, no regular expressions.

use std::borrow::Cow;

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

/// The tokens of a comma-separated list; elements that are none are left out.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &str> {
    elements(value).filter(|element| is_token(element)).filter_map(|element| str::from_utf8(element).ok())
}

/// Whether each element of a comma-separated list is a token. Empty elements are allowed (RFC 9110 §5.6.1.2).
pub fn is_token_list(value: &[u8]) -> bool {
    elements(value).all(is_token)
}

/// RFC 9110 §5.6.2: the characters of a token.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Parses one value of `Sec-WebSocket-Extensions`; `None` if it breaks the grammar of §9.1.
pub fn parse_extensions(value: &[u8]) -> Option<Vec<ExtensionOffer<'_>>> {
    let mut rest = Cursor { rest: value };
    let mut offers = Vec::new();
    loop {
        rest.skip_blanks();
        if rest.rest.is_empty() {
            return Some(offers);
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
        assert_eq!(tokens(b"a, b c, d").collect::<Vec<_>>(), ["a", "d"]);
        assert!(is_token_list(b"a,, b"));
        assert!(!is_token_list(b"a, b c"));
    }

    #[test]
    fn extensions_with_parameters() {
        let offers = parse_extensions(b"a ; b ;c=1; d = \"x\\y\" ,, e;f").unwrap();
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
        assert_eq!(parse_extensions(b" , "), Some(Vec::new()));
    }

    #[test]
    fn what_breaks_the_grammar_of_extensions() {
        for value in
            ["a;", "a; =b", "a;b=", "a b", "a;b=\"", "a;b=\"\"", "a;b=\"c d\"", "a;b=\"c\\", "(a)", "a;b c", ";a"]
        {
            assert_eq!(parse_extensions(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn a_long_list_costs_linear_time() {
        // 8,000 elements, nothing remembered between them but the offers themselves.
        let value = "a;b=\"c\",".repeat(8000);
        assert_eq!(parse_extensions(value.as_bytes()).map(|offers| offers.len()), Some(8000));
    }
}
