//! Who a connection is and what it may do: a token in, a [`Grant`] out.
//!
//! This folder is pure. The time is a parameter, and the files with tokens and keys are read by whoever calls.
//!
//! | file | what |
//! |---|---|
//! | `auth.rs` | [`Authenticator`], [`Grant`], [`AuthError`] |
//! | [`sources`] | where in a request a token may stand |
//! | [`token_file`] | a table of tokens: `user:token rooms=a,b read=c` |
//! | [`jwt`] | RFC 7519: tokens that are signed (cargo feature `jwt`; without it, its stand-in `no_jwt.rs`) |
//! | [`rights`] | which rooms a user may read and write |
//! | [`secret`] | secrets compared in constant time |
//!
//! # Where a token may come from
//!
//! The first of these that is there counts, and the others are not looked at: what a client says on purpose outranks the
//! cookie that a browser adds by itself. A first one that is bad is not replaced by a second one that is good.
//!
//! | source | what is refused |
//! |---|---|
//! | `Authorization: Bearer TOKEN` | two such header fields, another scheme |
//! | the subprotocol `bearer.TOKEN` | two of them |
//! | the cookie that [`Sources::cookie`] names | two with that name; a request without `Origin`, or with `null` |
//! | `?token=TOKEN`, with [`Sources::query`] | two of them, a broken escape |
//!
//! Wherever it stands, a token is 1 to [`TOKEN_BYTES_MAX`] visible characters of ASCII. In `hello` and `auth`, the messages, it
//! may stand as well: [`Authenticator::verify`] is the same for all.
//!
//! # What is checked
//!
//! A token of the table must be in it. A signed one must have the form of RFC 7515, the algorithm HS256, a signature by our
//! key, a user in `sub`, a time between `nbf` and `exp` (30 s of leeway at both ends), and our audience in `aud` if there is
//! one. See [`jwt`] for the rest.

#[cfg(feature = "jwt")]
pub mod jwt;
#[cfg(not(feature = "jwt"))]
#[path = "auth/no_jwt.rs"]
pub mod jwt;
pub mod rights;
pub mod secret;
pub mod sources;
pub mod token_file;

use std::fmt;
use std::rc::Rc;

use self::jwt::Jwt;
pub use self::rights::Rights;
pub use self::sources::Sources;
pub use self::token_file::{LineError, TokenTable};

/// Who a token is for, and what it allows.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The user: 1 to [`USER_BYTES_MAX`] bytes without control characters.
    pub user: Rc<str>,
    /// The rooms.
    pub rights: Rights,
    /// When it ends, in milliseconds of Unix time: the token is good before, and no longer then. The leeway is in it.
    /// `None`: it does not end.
    pub expires_at_ms: Option<u64>,
}

/// Why there is no grant. As text it is for the client: ASCII without quotes, and nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthError {
    /// There is no token.
    Missing,
    /// There is one that is not good, for this reason.
    Invalid(&'static str),
    /// It was good once.
    Expired,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthError::Missing => f.write_str("a token is required"),
            AuthError::Invalid(why) => write!(f, "the token is not accepted: {why}"),
            AuthError::Expired => f.write_str("the token has expired"),
        }
    }
}

impl std::error::Error for AuthError {}

/// What tells good tokens from bad ones.
#[derive(Debug, Default)]
pub enum Authenticator {
    /// Nobody is asked for a token.
    #[default]
    None,
    /// A table of tokens.
    Tokens(TokenTable),
    /// Signed tokens.
    Jwt(Jwt),
}

impl Authenticator {
    /// Whether nobody is asked for a token.
    pub fn is_none(&self) -> bool {
        matches!(self, Authenticator::None)
    }

    /// Reads what stands in a [token file](token_file).
    ///
    /// # Errors
    /// The first line that breaks a rule.
    pub fn tokens(text: &str) -> Result<Authenticator, LineError> {
        TokenTable::parse(text).map(Authenticator::Tokens)
    }

    /// Takes tokens that are signed with this secret, which is the content of a file: one line end at its end is not a part of
    /// it. With an audience, a token must name it in `aud`.
    ///
    /// # Errors
    /// If the secret is empty, or if the program was built without the feature `jwt`.
    pub fn jwt(secret: &[u8], audience: Option<String>) -> Result<Authenticator, String> {
        Jwt::new(secret, audience).map(Authenticator::Jwt)
    }

    /// Whether its secret is shorter than the 32 bytes that RFC 7518 §3.2 wants, so that somebody who has seen a token could
    /// find it by trying. That is worth a warning.
    pub fn is_weak(&self) -> bool {
        matches!(self, Authenticator::Jwt(jwt) if jwt.is_weak())
    }

    /// Checks a token at a time, in milliseconds of Unix time.
    ///
    /// # Errors
    /// Any token if [`is_none`](Authenticator::is_none): ask that before. Else see [the table](self#what-is-checked).
    pub fn verify(&self, token: &str, unix_ms: u64) -> Result<Grant, AuthError> {
        check_token(token.as_bytes())?;
        match self {
            Authenticator::None => Err(AuthError::Invalid("this server knows no tokens")),
            Authenticator::Tokens(table) => table.verify(token),
            Authenticator::Jwt(jwt) => jwt.verify(token, unix_ms),
        }
    }
}

/// Gives back a token that has the form of one.
fn check_token(token: &[u8]) -> Result<&str, AuthError> {
    if token.is_empty() {
        return Err(AuthError::Invalid("it is empty"));
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(AuthError::Invalid("it is longer than 8192 bytes"));
    }
    let text = str::from_utf8(token).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.ok_or(AuthError::Invalid("it holds something else than visible ASCII"))
}

/// Whether this can be the name of a user.
fn is_user(name: &str) -> bool {
    (1..=USER_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control)
}

/// Bytes of a token, wherever it comes from. A longer one is refused unread.
pub const TOKEN_BYTES_MAX: usize = 8192;

/// Bytes of a user's name.
pub const USER_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_authenticator_no_token_is_good() {
        let none = Authenticator::default();
        assert!(none.is_none() && !none.is_weak());
        assert_eq!(none.verify("t", 0).unwrap_err(), AuthError::Invalid("this server knows no tokens"));
        assert!(!Authenticator::tokens("").unwrap().is_none(), "an empty table lets nobody in");
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_unread() {
        let table = Authenticator::tokens("ann:x").unwrap();
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        for (token, why) in [
            ("", "it is empty"),
            (&*long, "it is longer than 8192 bytes"),
            ("x y", "it holds something else than visible ASCII"),
            ("x\r\n", "it holds something else than visible ASCII"),
            ("é", "it holds something else than visible ASCII"),
        ] {
            for authenticator in [&table, &Authenticator::None] {
                assert_eq!(authenticator.verify(token, 0).unwrap_err(), AuthError::Invalid(why), "{token:?}");
            }
        }
        let longest = &long[1..];
        assert_eq!(table.verify(longest, 0).unwrap_err(), AuthError::Invalid("nobody has it"));
        assert_eq!(&*Authenticator::tokens(&format!("a:{longest}")).unwrap().verify(longest, 0).unwrap().user, "a");
    }

    #[test]
    fn each_error_has_words_for_the_client() {
        assert_eq!(AuthError::Missing.to_string(), "a token is required");
        assert_eq!(AuthError::Invalid("nobody has it").to_string(), "the token is not accepted: nobody has it");
        assert_eq!(AuthError::Expired.to_string(), "the token has expired");
    }
}
