//! RFC 7515 §4 and RFC 7519 §4: the JSON in a signed token. What it means is for [`auth`](crate::chat::auth) to say.

use std::borrow::Cow;

use super::check_text;
use super::members::{Members, elements, string};

/// The header of a signed token.
#[derive(Debug)]
pub struct TokenHeader<'t> {
    /// `alg`, the algorithm.
    pub algorithm: Cow<'t, str>,
    /// `crit` is there: something must be understood to read the token.
    pub has_critical: bool,
}

/// What a token says. Members that are not here are ignored.
#[derive(Debug)]
pub struct Claims<'t> {
    /// `sub`, the user.
    pub subject: Option<Cow<'t, str>>,
    /// `exp`, the end of the token, in milliseconds of Unix time, at most [`DATE_MS_MAX`].
    pub expires_at_ms: Option<u64>,
    /// `nbf`, its beginning, likewise.
    pub not_before_ms: Option<u64>,
    /// `aud`: whom it is for. One alone need not be in a list.
    pub audiences: Option<Vec<Cow<'t, str>>>,
    /// `rooms`.
    pub rooms: Option<Vec<Cow<'t, str>>>,
    /// `read`.
    pub read: Option<Vec<Cow<'t, str>>>,
}

/// Reads a header.
///
/// # Errors
/// What is no JSON object, or has a name twice; an `alg` that is missing or no string.
pub fn parse_header(text: &str) -> Result<TokenHeader<'_>, &'static str> {
    let members = members(text, "its header is no JSON object", "a name stands twice in its header")?;
    let algorithm = members.get("alg").and_then(string).ok_or("its header has no alg")?;
    Ok(TokenHeader { algorithm, has_critical: members.get("crit").is_some() })
}

/// Reads what a token says.
///
/// # Errors
/// What is no JSON object, or has a name twice; one of the claims above that has another type.
pub fn parse_claims(text: &str) -> Result<Claims<'_>, &'static str> {
    let members = members(text, "its payload is no JSON object", "a name stands twice in its payload")?;
    let list = |name, rule| members.get(name).map(|value| strings(value).ok_or(rule)).transpose();
    let date = |name, rule| members.get(name).map(|value| date_ms(value).ok_or(rule)).transpose();
    let audiences = |value| string(value).map(|one| vec![one]).or_else(|| strings(value));
    Ok(Claims {
        subject: members.get("sub").map(|value| string(value).ok_or("sub is no string")).transpose()?,
        expires_at_ms: date("exp", "exp is no number")?,
        not_before_ms: date("nbf", "nbf is no number")?,
        audiences: members.get("aud").map(|value| audiences(value).ok_or("aud is no list of strings")).transpose()?,
        rooms: list("rooms", "rooms is no list of strings")?,
        read: list("read", "read is no list of strings")?,
    })
}

fn members<'t>(text: &'t str, no_object: &'static str, twice: &'static str) -> Result<Members<'t>, &'static str> {
    let members = Members::parse(text).map_err(|_| no_object)?;
    check_text(text).map_err(|_| no_object)?;
    // RFC 7519 §4: unique names; a reader that took another one of the two would see another token.
    match members.repeated() {
        Some(_) => Err(twice),
        None => Ok(members),
    }
}

fn strings(value: &str) -> Option<Vec<Cow<'_, str>>> {
    // The parser is for arrays alone.
    let list = value.starts_with('[').then(|| elements(value, ELEMENTS_MAX))?.ok()?;
    list.into_iter().map(string).collect()
}

/// RFC 7519 §2, NumericDate: seconds of Unix time, perhaps with a fraction, in any form that JSON has for numbers. One before
/// 1970 is the beginning of 1970.
fn date_ms(value: &str) -> Option<u64> {
    let is_number = value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let seconds: f64 = is_number.then(|| value.parse().ok())??;
    // This conversion saturates, and what is too large for the type is infinite.
    Some(((seconds * 1000.0).round() as u64).min(DATE_MS_MAX))
}

/// The end of the year 9999. With later dates not every clock can do sums.
pub const DATE_MS_MAX: u64 = 253_402_300_799_999;

/// Strings in one list: more than any list may have, and so it is refused as too long and not as something else.
const ELEMENTS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_numbers_of_any_form_and_never_overflow() {
        for (value, ms) in [
            ("0", 0),
            ("-0", 0),
            ("-1", 0),
            ("-1e400", 0),
            ("1300819380", 1_300_819_380_000),
            ("1300819380.5", 1_300_819_380_500),
            ("1300819380.0014", 1_300_819_380_001),
            ("1.30081938e9", 1_300_819_380_000),
            ("130081938E+1", 1_300_819_380_000),
            ("1e-400", 0),
            ("253402300799", 253_402_300_799_000),
            ("253402300800", DATE_MS_MAX),
            ("18446744073709551616", DATE_MS_MAX),
            ("1e400", DATE_MS_MAX),
            (&"9".repeat(5000), DATE_MS_MAX),
        ] {
            assert_eq!(parse_claims(&format!("{{\"exp\":{value}}}")).unwrap().expires_at_ms, Some(ms), "{value}");
        }
        for value in ["null", "\"1300819380\"", "true", "[1]", "{}"] {
            assert_eq!(parse_claims(&format!("{{\"exp\":{value}}}")).unwrap_err(), "exp is no number", "{value}");
            assert_eq!(parse_claims(&format!("{{\"nbf\":{value}}}")).unwrap_err(), "nbf is no number", "{value}");
        }
    }

    #[test]
    fn lists_are_arrays_of_strings() {
        let claims = parse_claims(r#" {"rooms":["a","\u0062*"], "read":[ ], "aud":"me", "x":{"a":1,"a":2}} "#).unwrap();
        assert_eq!(claims.rooms.unwrap(), ["a", "b*"]);
        assert_eq!(claims.read.unwrap(), [""; 0]);
        assert_eq!(claims.audiences.unwrap(), ["me"]);
        assert_eq!(parse_claims(r#"{"aud":["a","b"]}"#).unwrap().audiences.unwrap(), ["a", "b"]);
        for value in ["null", "1", "{}", "[1]", "[\"a\",null]", "[[\"a\"]]", "true", "\"a\""] {
            for (name, rule) in [("rooms", "rooms is no list of strings"), ("read", "read is no list of strings")] {
                assert_eq!(parse_claims(&format!("{{\"{name}\":{value}}}")).unwrap_err(), rule, "{value}");
            }
            let audiences = parse_claims(&format!("{{\"aud\":{value}}}")).err();
            assert_eq!(audiences, (value != "\"a\"").then_some("aud is no list of strings"), "{value}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(64), "]".repeat(64));
        for text in ["", "null", "[]", "{", "{} x", "\u{feff}{}", "{\"a\":1,}", "{\"a\":\"\\ud800\"}", "{'a':1}", &deep]
        {
            assert_eq!(parse_claims(text).unwrap_err(), "its payload is no JSON object", "{text}");
            assert_eq!(parse_header(text).unwrap_err(), "its header is no JSON object", "{text}");
        }
        let twice = r#"{"alg":"HS256","\u0061lg":"none"}"#;
        assert_eq!(parse_header(twice).unwrap_err(), "a name stands twice in its header");
        assert_eq!(parse_claims(r#"{"sub":"a","sub":"a"}"#).unwrap_err(), "a name stands twice in its payload");
        assert_eq!(parse_claims(r#"{"sub":1}"#).unwrap_err(), "sub is no string");
        for text in ["{}", r#"{"alg":1}"#, r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#] {
            assert_eq!(parse_header(text).unwrap_err(), "its header has no alg", "{text}");
        }
    }
}
