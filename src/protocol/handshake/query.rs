//! RFC 3986 §3.4: the query of a request target, and the target without the secrets in it.

use std::borrow::Cow;

/// The parameters of a target's query, `name=value` with `&` between them, as they were sent.
pub fn parameters(target: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = target.split_once('?').map(|(_, query)| query);
    query.into_iter().flat_map(|query| query.split('&')).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// RFC 3986 §2.1: text with its escapes (`%20`) resolved, once. `None`: an escape that is none. A `+` stays one.
pub fn percent_decode(text: &str) -> Option<Cow<'_, [u8]>> {
    let mut parts = text.as_bytes().split(|&byte| byte == b'%');
    let front = parts.next().unwrap_or_default();
    if front.len() == text.len() {
        return Some(Cow::Borrowed(front));
    }
    let mut decoded = front.to_vec();
    for part in parts {
        let &[high, low, ref rest @ ..] = part else { return None };
        decoded.push(escaped_byte(high, low)?);
        decoded.extend_from_slice(rest);
    }
    Some(Cow::Owned(decoded))
}

/// What two hexadecimal digits stand for.
fn escaped_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// A request target for the log. If its query speaks of a [`token`](TOKEN_PARAMETER), wherever and however it is written, all
/// of the query is `***`; if what stands before does, all of the target is `/***`. So nobody has to know what a client that
/// writes it wrong meant by it.
pub fn masked_target(target: &str) -> Cow<'_, str> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if names_token(path) {
        Cow::Borrowed("/***")
    } else if names_token(query) {
        Cow::Owned(format!("{path}?***"))
    } else {
        Cow::Borrowed(target)
    }
}

/// Whether the word is in it, in any case, however often its letters are escaped.
fn names_token(text: &str) -> bool {
    let mut bytes = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        bytes.push(byte);
        // A resolved escape may be the end of another: `%2574` is `%74` is `t`. Each round takes two bytes away.
        while let [.., b'%', high, low] = bytes[..]
            && let Some(byte) = escaped_byte(high, low)
        {
            bytes.truncate(bytes.len() - 3);
            bytes.push(byte);
        }
    }
    bytes.windows(TOKEN_PARAMETER.len()).any(|word| word.eq_ignore_ascii_case(TOKEN_PARAMETER.as_bytes()))
}

/// The parameter that holds a token.
pub const TOKEN_PARAMETER: &str = "token";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_behind_the_first_question_mark() {
        let of = |target| parameters(target).collect::<Vec<_>>();
        assert_eq!(of("/chat"), []);
        assert_eq!(of("/chat?"), [("", "")]);
        assert_eq!(of("/?a=1&b&c==2&&=d?e=f"), [("a", "1"), ("b", ""), ("c", "=2"), ("", ""), ("", "d?e=f")]);
        assert_eq!(of("ws://h/a&b=c?d=e"), [("d", "e")]);
    }

    #[test]
    fn escapes_are_resolved_once() {
        for (text, decoded) in [
            ("", ""),
            ("a+b", "a+b"),
            ("%41%6a%6A", "Ajj"),
            ("%2541", "%41"),
            ("a%26b%3D", "a&b="),
            ("%C3%a9%00", "é\0"),
        ] {
            assert_eq!(percent_decode(text).as_deref(), Some(decoded.as_bytes()), "{text}");
        }
        assert!(matches!(percent_decode("plain"), Some(Cow::Borrowed(b"plain"))));
        for text in ["%", "a%4", "%%41", "%4g", "%+1", "%-1", "%é", "x%u0041"] {
            assert_eq!(percent_decode(text), None, "{text}");
        }
    }

    #[test]
    fn the_log_has_nothing_of_a_query_that_speaks_of_a_token() {
        for (target, masked) in [
            ("/?token=hush", "/?***"),
            ("/room?a=1&token=hush&b=2", "/room?***"),
            ("ws://h/x?&token=%68ush&", "ws://h/x?***"),
            ("http://h?token=hush", "http://h?***"),
            ("/?token=hu?token=sh", "/?***"),
            ("/?a?token=hush", "/?***"),
            ("/?token", "/?***"),
            // Each of these was meant to be the parameter, and is not.
            ("/?TOKEN=hush", "/?***"),
            ("/?Toke%4e=hush", "/?***"),
            ("/?token%3DX", "/?***"),
            ("/?a=1;token=X", "/?***"),
            ("/?token+=X", "/?***"),
            ("/?token%00=X", "/?***"),
            ("/?access_token=X", "/?***"),
            ("/?tok%2565n=X", "/?***"),
            ("/?%252574oken=X", "/?***"),
            ("/?%%37%34oken=X", "/?***"),
            ("/?tok%%36%35n=X", "/?***"),
            ("/?a=%zz%&token=X", "/?***"),
            ("/?%C3%A9%74oken=X", "/?***"),
        ] {
            assert_eq!(masked_target(target), masked, "{target}");
        }
    }

    #[test]
    fn the_log_has_nothing_of_a_target_whose_path_speaks_of_a_token() {
        for target in [
            "/token/X",
            "/token=X",
            "/;token=X?a=b",
            "/%3ftoken=X",
            "/%253F%2574oken=X",
            "/room%3FTOKEN%3DX?a",
            "/#token=X",
            "ws://token:X@h/",
            "token",
        ] {
            assert_eq!(masked_target(target), "/***", "{target}");
        }
    }

    #[test]
    fn a_target_without_the_word_stays_as_it_is() {
        for target in
            ["/", "/tok?en=x", "/?toke%zzn", "/?to&ken=x", "/?%74%6f%6b%65=n", "/?%zz=1&x=%", "/?%7", "/?é", ""]
        {
            assert_eq!(masked_target(target), target);
        }
    }

    #[test]
    fn the_word_is_found_however_often_a_letter_is_escaped() {
        // Resolved pass by pass, this would be a million of them.
        let target = format!("/?%{}74oken=x", "25".repeat(1_000_000));
        assert_eq!(masked_target(&target), "/?***");
    }
}
