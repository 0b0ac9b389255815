//! RFC 7519: tokens that are signed, in the compact form of RFC 7515 §3.1 and with HS256 (RFC 7518 §3.2) alone.
//!
//! | claim | |
//! |---|---|
//! | `sub` | the user: required |
//! | `exp` | the token is good before; without it, for ever, so that only another key ends it |
//! | `nbf` | the token is good from then on |
//! | `aud` | must name our audience, if we have one; else it is ignored |
//! | `rooms`, `read` | lists of rooms: see [`Rights`] |
//!
//! Nothing of the payload is looked at before the signature was found right. The header cannot say how to check it: `alg` must
//! be `HS256`, which it is checked with in any case, and keys that a token brings with it are ignored.

use std::fmt;
use std::rc::Rc;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{AuthError, Grant, Rights, is_user};
use crate::chat::wire::claims::{Claims, parse_claims, parse_header};

/// Our key and our name.
pub struct Jwt {
    /// With the key, before any token.
    mac: Hmac<Sha256>,
    is_weak: bool,
    audience: Option<String>,
}

impl Jwt {
    /// Takes the content of a file with a secret: one line end at its end is not a part of it. With an audience, tokens must
    /// name it.
    ///
    /// # Errors
    /// If the secret is empty: then anybody could sign.
    pub fn new(secret: &[u8], audience: Option<String>) -> Result<Jwt, String> {
        let secret = secret.strip_suffix(b"\n").map_or(secret, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if secret.is_empty() {
            return Err("the secret is empty".to_owned());
        }
        let mac = Hmac::new_from_slice(secret).map_err(|error| error.to_string())?;
        Ok(Jwt { mac, is_weak: secret.len() < SECRET_BYTES_MIN, audience })
    }

    /// Whether the secret is shorter than its digest, which RFC 7518 §3.2 forbids.
    pub fn is_weak(&self) -> bool {
        self.is_weak
    }

    /// Checks a token at a time, in milliseconds of Unix time.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn verify(&self, token: &str, unix_ms: u64) -> Result<Grant, AuthError> {
        let payload = self.signed_payload(token).map_err(AuthError::Invalid)?;
        let text = str::from_utf8(&payload).map_err(|_| AuthError::Invalid("its payload is no JSON object"))?;
        let claims = parse_claims(text).map_err(AuthError::Invalid)?;
        self.grant(&claims, unix_ms)
    }

    /// RFC 7515 §5.2: what was signed, if the signature is ours.
    fn signed_payload(&self, token: &str) -> Result<Vec<u8>, &'static str> {
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("it has not the three parts of a JWT");
        };
        let header = BASE64URL.decode(header).map_err(|_| "its header is no base64url")?;
        let header = str::from_utf8(&header).map_err(|_| "its header is no JSON object")?;
        let header = parse_header(header)?;
        if header.algorithm != "HS256" {
            return Err("its algorithm is not HS256");
        }
        if header.has_critical {
            return Err("its header has crit, and nothing of that is known here"); // RFC 7515 §4.1.11
        }
        let signature = BASE64URL.decode(signature).map_err(|_| "its signature is no base64url")?;
        let signed = &token[..token.rfind('.').unwrap_or_default()];
        let mac = self.mac.clone().chain_update(signed);
        mac.verify_slice(&signature).map_err(|_| "its signature is wrong")?; // in constant time
        BASE64URL.decode(payload).map_err(|_| "its payload is no base64url")
    }

    fn grant(&self, claims: &Claims<'_>, unix_ms: u64) -> Result<Grant, AuthError> {
        let user = claims.subject.as_deref().ok_or(AuthError::Invalid("it has no sub"))?;
        if !is_user(user) {
            return Err(AuthError::Invalid("its sub has not 1 to 128 bytes without control characters"));
        }
        if let Some(own) = &self.audience
            && !claims.audiences.iter().flatten().any(|audience| audience == own)
        {
            return Err(AuthError::Invalid("its aud does not name this server"));
        }
        let rights = Rights::parse(claims.rooms.as_deref(), claims.read.as_deref()).map_err(AuthError::Invalid)?;
        if claims.not_before_ms.is_some_and(|start| unix_ms.saturating_add(LEEWAY_MS) < start) {
            return Err(AuthError::Invalid("it is not yet good"));
        }
        // RFC 7519 §4.1.4: no longer at the time itself.
        let expires_at_ms = claims.expires_at_ms.map(|end| end.saturating_add(LEEWAY_MS));
        if expires_at_ms.is_some_and(|end| end <= unix_ms) {
            return Err(AuthError::Expired);
        }
        Ok(Grant { user: Rc::from(user), rights, expires_at_ms })
    }
}

impl fmt::Debug for Jwt {
    /// The key is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("audience", &self.audience).finish_non_exhaustive()
    }
}

/// RFC 7515 §2: base64url without padding, and in one way only.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD);

/// By so much the clock of whoever signs may differ from ours.
pub const LEEWAY_MS: u64 = 30_000;

/// RFC 7518 §3.2: a key of the size of the digest or larger.
const SECRET_BYTES_MIN: usize = 32;

#[cfg(test)]
mod tests;
