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
        let digit = |digit: u8| char::from(digit).to_digit(16);
        decoded.push(u8::try_from(digit(high)? << 4 | digit(low)?).ok()?);
        decoded.extend_from_slice(rest);
    }
    Some(Cow::Owned(decoded))
}

/// A request target for the log: the value of each parameter [`token`](TOKEN_PARAMETER) is `***`, however the name is written.
pub fn masked_target(target: &str) -> Cow<'_, str> {
    if !parameters(target).any(|(name, _)| is_token(name)) {
        return Cow::Borrowed(target);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut masked = String::with_capacity(target.len());
    masked.push_str(path);
    for (at, pair) in query.split('&').enumerate() {
        masked.push(if at == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if is_token(name) => masked.extend([name, "=***"]),
            _ => masked.push_str(pair),
        }
    }
    Cow::Owned(masked)
}

/// Case does not matter here: a client that writes `Token` sends a secret all the same.
fn is_token(name: &str) -> bool {
    percent_decode(name).is_some_and(|name| name.eq_ignore_ascii_case(TOKEN_PARAMETER.as_bytes()))
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
    fn the_log_has_no_token_of_the_query() {
        for (target, masked) in [
            ("/?token=hush", "/?token=***"),
            ("/chat?a=1&token=hush&b=2", "/chat?a=1&token=***&b=2"),
            ("/?token=hush&token=hush2", "/?token=***&token=***"),
            ("/?%74oken=hush&tok%65%6E=hush=x", "/?%74oken=***&tok%65%6E=***"),
            ("/?TOKEN=hush&Toke%4e=hush", "/?TOKEN=***&Toke%4e=***"),
            ("/?token=hu?token=sh", "/?token=***"),
            ("ws://h/x?&token=%68ush&", "ws://h/x?&token=***&"),
            ("/?token=", "/?token=***"),
        ] {
            assert_eq!(masked_target(target), masked);
        }
    }

    #[test]
    fn a_target_without_a_token_stays_as_it_is() {
        for target in
            ["/", "/token=x", "/?token", "/?tokens=x&a=token=y", "/?%2574oken=x", "/?a?token=x", "/?%zz=1&x=%", "/?é"]
        {
            assert_eq!(masked_target(target), target);
        }
    }
}
