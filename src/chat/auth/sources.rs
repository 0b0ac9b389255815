//! Where in a request a token may stand. The table with the order is in [`auth`](super).

use std::borrow::Cow;

use super::{AuthError, check_token};
use crate::protocol::Request;
use crate::protocol::handshake::query::{TOKEN_PARAMETER, parameters, percent_decode};

/// The sources beside `Authorization` and the subprotocol, which are always looked at.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The name of a cookie, with case.
    pub cookie: Option<String>,
    /// Whether `?token=` in the request target counts. What stands there is likely to be in the logs of others.
    pub query: bool,
}

impl Sources {
    /// The token of a request, from the first source that has one. Whether it is good is for
    /// [`Authenticator::verify`](super::Authenticator::verify) to say.
    ///
    /// # Errors
    /// A source that says two things, or something else than a token; a cookie without an `Origin` that is one.
    pub fn token_of<'r>(&self, request: &'r Request) -> Result<Option<Cow<'r, str>>, AuthError> {
        if let Some(token) = bearer(&request.header("authorization"))? {
            return Ok(Some(Cow::Borrowed(token)));
        }
        if let Some(token) = subprotocol(&request.subprotocols())? {
            return Ok(Some(Cow::Borrowed(token)));
        }
        if let Some(name) = &self.cookie
            && let Some(token) = cookie(&request.header("cookie"), name)?
        {
            // A browser adds its cookies to what any page asks for. `Origin` says which page it was, and is checked elsewhere.
            check_origin(&request.header("origin"))?;
            return Ok(Some(Cow::Borrowed(token)));
        }
        if self.query { in_query(request.target()) } else { Ok(None) }
    }
}

/// RFC 6750 §2.1: `Bearer TOKEN`, the scheme without case (RFC 9110 §11.1).
fn bearer<'r>(values: &[&'r [u8]]) -> Result<Option<&'r str>, AuthError> {
    let value = match *values {
        [] => return Ok(None),
        [value] => value,
        _ => return Err(AuthError::Invalid("the request has several header fields Authorization")),
    };
    let end = value.iter().position(|&byte| byte == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(AuthError::Invalid("Authorization has another scheme than Bearer"));
    }
    check_token(token.trim_ascii_start()).map(Some)
}

/// A script in a browser can set no header field but this one.
fn subprotocol<'r>(names: &[&'r str]) -> Result<Option<&'r str>, AuthError> {
    let mut tokens = names.iter().filter_map(|name| name.strip_prefix(SUBPROTOCOL_PREFIX));
    let Some(token) = tokens.next() else { return Ok(None) };
    if tokens.next().is_some() {
        return Err(AuthError::Invalid("the request offers several subprotocols with a token"));
    }
    check_token(token.as_bytes()).map(Some)
}

/// Any site can have a frame in a sandbox, or a file, whose `Origin` is `null`: it says as little as none.
fn check_origin(origins: &[&[u8]]) -> Result<(), AuthError> {
    if origins.is_empty() {
        return Err(AuthError::Invalid("it is in a cookie, and the request has no Origin"));
    }
    match origins.iter().any(|origin| origin.is_empty() || origin.eq_ignore_ascii_case(b"null")) {
        true => Err(AuthError::Invalid("it is in a cookie, and the Origin of the request is null or empty")),
        false => Ok(()),
    }
}

/// RFC 6265 §4.2.1: `name=value; name=value`, a value perhaps in quotes.
fn cookie<'r>(lines: &[&'r [u8]], name: &str) -> Result<Option<&'r str>, AuthError> {
    let pairs = lines.iter().flat_map(|line| line.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        // One for another path or domain, which somebody else may have set: nobody can tell which is ours.
        return Err(AuthError::Invalid("the request has the cookie several times"));
    }
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    check_token(unquoted).map(Some)
}

fn in_query(target: &str) -> Result<Option<Cow<'_, str>>, AuthError> {
    let is_ours = |name: &str| percent_decode(name).is_some_and(|name| *name == *TOKEN_PARAMETER.as_bytes());
    let mut values = parameters(target).filter(|(name, _)| is_ours(name)).map(|(_, value)| value);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(AuthError::Invalid("it stands in the query several times"));
    }
    match percent_decode(value) {
        None => Err(AuthError::Invalid("an escape in the query is none")),
        Some(Cow::Borrowed(token)) => check_token(token).map(|token| Some(Cow::Borrowed(token))),
        Some(Cow::Owned(token)) => check_token(&token).map(|token| Some(Cow::Owned(token.to_owned()))),
    }
}

/// What stands in front of a token that is offered as a subprotocol.
pub const SUBPROTOCOL_PREFIX: &str = "bearer.";

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request with this target and these lines has, where the cookie `sid` and the query count.
    fn token(target: &str, lines: &[&str]) -> Result<Option<String>, AuthError> {
        token_by(&Sources { cookie: Some("sid".to_owned()), query: true }, target, lines)
    }

    fn token_by(sources: &Sources, target: &str, lines: &[&str]) -> Result<Option<String>, AuthError> {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
        );
        let request = Request::parse(head.as_bytes()).unwrap();
        sources.token_of(&request).map(|token| token.map(Cow::into_owned))
    }

    fn found(token: &str) -> Result<Option<String>, AuthError> {
        Ok(Some(token.to_owned()))
    }

    const ORIGIN: &str = "Origin: https://example.com";
    const EMPTY: Result<Option<String>, AuthError> = Err(AuthError::Invalid("it is empty"));
    const NOT_ASCII: Result<Option<String>, AuthError> =
        Err(AuthError::Invalid("it holds something else than visible ASCII"));

    #[test]
    fn a_request_without_a_token_has_none() {
        assert_eq!(token("/", &[]), Ok(None));
        assert_eq!(
            token("/?tokens=a&b", &["Cookie: sid2=b; other=sid=c", "Sec-WebSocket-Protocol: frameloop.v1"]),
            Ok(None)
        );
    }

    #[test]
    fn authorization_is_one_bearer() {
        for line in ["Authorization: Bearer a.b-c", "authorization: bearer a.b-c", "Authorization:BEARER   a.b-c "] {
            assert_eq!(token("/", &[line]), found("a.b-c"), "{line}");
        }
        let scheme = Err(AuthError::Invalid("Authorization has another scheme than Bearer"));
        for (line, expected) in [
            ("Authorization: Basic YTpi", scheme.clone()),
            ("Authorization: a.b-c", scheme.clone()),
            ("Authorization: Bearera.b-c", scheme.clone()),
            ("Authorization: Bearer\ta.b-c", scheme.clone()),
            ("Authorization:", scheme),
            ("Authorization: Bearer", EMPTY),
            ("Authorization: Bearer a b", NOT_ASCII),
            ("Authorization: Bearer é", NOT_ASCII),
        ] {
            assert_eq!(token("/", &[line]), expected, "{line}");
        }
        let twice = ["Authorization: Bearer a", "AUTHORIZATION: Bearer a"];
        assert_eq!(token("/", &twice), Err(AuthError::Invalid("the request has several header fields Authorization")));
    }

    #[test]
    fn a_subprotocol_is_one_bearer() {
        assert_eq!(token("/", &["Sec-WebSocket-Protocol: frameloop.v1, bearer.a.b-c"]), found("a.b-c"));
        assert_eq!(token("/", &["Sec-WebSocket-Protocol: bearer"]), Ok(None));
        assert_eq!(token("/", &["Sec-WebSocket-Protocol: Bearer.a"]), Ok(None), "subprotocols have case");
        assert_eq!(token("/", &["Sec-WebSocket-Protocol: bearer."]), EMPTY);
        let several = Err(AuthError::Invalid("the request offers several subprotocols with a token"));
        assert_eq!(token("/", &["Sec-WebSocket-Protocol: bearer.a, bearer.b"]), several);
        assert_eq!(token("/", &["Sec-WebSocket-Protocol: bearer.a", "Sec-WebSocket-Protocol: bearer.b"]), several);
    }

    #[test]
    fn a_cookie_counts_once_and_with_its_name() {
        for line in [
            "Cookie: sid=a=b",
            "Cookie: a=b; sid=a=b; c=d",
            "Cookie: a;;sid=a=b;",
            "Cookie: sid=\"a=b\"",
            "Cookie: x=é; sid=a=b",
        ] {
            assert_eq!(token("/", &[ORIGIN, "Cookie: first=1", line]), found("a=b"), "{line}");
        }
        for line in
            ["Cookie: SID=a", "Cookie: xsid=a", "Cookie: x=sid=a", "Cookie: sid", "Cookie: sid =a", "Cookie: \"sid=a\""]
        {
            assert_eq!(token("/", &[ORIGIN, line]), Ok(None), "{line}");
        }
        let several = Err(AuthError::Invalid("the request has the cookie several times"));
        assert_eq!(token("/", &[ORIGIN, "Cookie: sid=a; sid=a"]), several);
        assert_eq!(token("/", &[ORIGIN, "Cookie: sid=a", "Cookie: sid=b"]), several);
        assert_eq!(token("/", &[ORIGIN, "Cookie: sid="]), EMPTY);
        assert_eq!(token("/", &[ORIGIN, "Cookie: sid=\"\""]), EMPTY);
        assert_eq!(token("/", &[ORIGIN, "Cookie: sid=a b"]), NOT_ASCII);
        assert_eq!(token("/", &[ORIGIN, "Cookie: sid=é"]), NOT_ASCII);
    }

    #[test]
    fn a_cookie_without_origin_is_refused() {
        let refused = Err(AuthError::Invalid("it is in a cookie, and the request has no Origin"));
        assert_eq!(token("/", &["Cookie: sid=a"]), refused);
        assert_eq!(token("/?token=b", &["Cookie: sid=a"]), refused, "no other source makes up for it");
        assert_eq!(token("/", &["Cookie: other=a"]), Ok(None));
    }

    #[test]
    fn a_cookie_of_a_page_without_an_origin_of_its_own_is_refused() {
        let refused = Err(AuthError::Invalid("it is in a cookie, and the Origin of the request is null or empty"));
        for origin in ["Origin: null", "ORIGIN:null", "Origin:  null ", "Origin: NULL", "Origin:", "Origin:  "] {
            assert_eq!(token("/?token=b", &[origin, "Cookie: sid=a"]), refused, "{origin}");
            assert_eq!(token("/", &[ORIGIN, "Cookie: sid=a", origin]), refused, "one of two: {origin}");
            assert_eq!(token("/?token=b", &[origin]), found("b"), "{origin} is for the cookie alone");
            assert_eq!(token("/", &[origin, "Cookie: sid=a", "Authorization: Bearer c"]), found("c"), "{origin}");
        }
        assert_eq!(token("/", &["Origin: https://null", "Cookie: sid=a"]), found("a"));
    }

    #[test]
    fn the_query_counts_once_with_its_escapes_resolved() {
        for target in
            ["/?token=a+b", "/x?a=1&token=%61%2B%62&c", "/?%74oken=a+b", "ws://h/?to%6ben=a%2bb", "http://h?token=a+b"]
        {
            assert_eq!(token(target, &["Host: h"][1..]), found("a+b"), "{target}");
        }
        let several = Err(AuthError::Invalid("it stands in the query several times"));
        for target in ["/?token=a&token=a", "/?token=a&x&%74oken=b"] {
            assert_eq!(token(target, &[]), several, "{target}");
        }
        for target in ["/?Token=a", "/?xtoken=a", "/?token%=a", "/?a?token=a", "/token=a", "/?%2574oken=a"] {
            assert_eq!(token(target, &[]), Ok(None), "{target}");
        }
        assert_eq!(token("/?token", &[]), EMPTY);
        assert_eq!(token("/?token=", &[]), EMPTY);
        for target in ["/?token=%0d%0aa", "/?token=%00", "/?token=%C3%A9", "/?token=%ff", "/?token=a%20b"] {
            assert_eq!(token(target, &[]), NOT_ASCII, "{target}");
        }
        for target in ["/?token=%", "/?token=%6", "/?token=a%zz"] {
            assert_eq!(token(target, &[]), Err(AuthError::Invalid("an escape in the query is none")), "{target}");
        }
    }

    #[test]
    fn cookie_and_query_count_only_where_they_were_asked_for() {
        let sources = Sources::default();
        assert_eq!(token_by(&sources, "/?token=a", &[ORIGIN, "Cookie: sid=b"]), Ok(None));
        assert_eq!(token_by(&sources, "/", &["Authorization: Bearer c"]), found("c"));
    }

    #[test]
    fn the_first_source_counts_even_if_it_is_bad() {
        let lines = ["Authorization: Bearer a", "Sec-WebSocket-Protocol: bearer.b", "Cookie: sid=c", ORIGIN];
        for (from, expected) in [(0, "a"), (1, "b"), (2, "c")] {
            assert_eq!(token("/?token=d", &lines[from..]), found(expected));
        }
        assert_eq!(token("/?token=d", &[]), found("d"));
        assert_eq!(token("/?token=d", &["Authorization: Bearer"]), EMPTY);
        assert_eq!(token("/?token=d", &[ORIGIN, "Cookie: sid="]), EMPTY);
    }
}
