//! Tokens that are good, bad, forged, too old and too young.

use super::*;
use crate::chat::auth::{Authenticator, TOKEN_BYTES_MAX};

const SECRET: &[u8] = b"a secret of thirty-two bytes....";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// Now, in seconds.
const NOW_S: u64 = 1_800_000_000;

fn jwt() -> Jwt {
    Jwt::new(SECRET, None).unwrap()
}

/// A token of this header and payload with the right signature.
fn sign_with(secret: &[u8], header: &str, payload: &[u8]) -> String {
    let signed = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(payload));
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(&signed);
    format!("{signed}.{}", BASE64URL.encode(mac.finalize().into_bytes()))
}

fn sign(payload: &str) -> String {
    sign_with(SECRET, HEADER, payload.as_bytes())
}

fn verify(token: &str) -> Result<Grant, AuthError> {
    jwt().verify(token, NOW_S * 1000)
}

fn why(token: &str) -> &'static str {
    match verify(token) {
        Err(AuthError::Invalid(why)) => why,
        other => panic!("{other:?}: {token}"),
    }
}

#[test]
fn a_good_token_grants_what_it_says() {
    let grant = verify(&sign(r#"{"sub":"ann \u00e9\ud83e\udd80","iss":"x","jti":[1],"exp":1800000001.5}"#)).unwrap();
    assert_eq!(&*grant.user, "ann é🦀");
    assert_eq!(grant.rights, Rights::all());
    assert_eq!(grant.expires_at_ms, Some((NOW_S + 31) * 1000 + 500), "with the leeway");

    let grant = verify(&sign(r#"{"sub":"bob","rooms":["a","b-*"],"read":["c"]}"#)).unwrap();
    assert!(grant.rights.may_write("b-1") && grant.rights.may_read("c") && !grant.rights.may_write("c"));
    assert_eq!(grant.expires_at_ms, None, "without exp it does not end");
    assert!(!verify(&sign(r#"{"sub":"bob","rooms":[]}"#)).unwrap().rights.may_read("a"));
}

/// RFC 7515 A.1, and RFC 7519 §3.1: it has no `sub`, which comes to light only when the signature was right.
#[test]
fn the_example_of_rfc_7515_has_a_good_signature_and_no_user() {
    let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
        cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let jwt = Jwt::new(&BASE64URL.decode(key).unwrap(), None).unwrap();
    let payload = jwt.signed_payload(token).unwrap();
    assert_eq!(payload, b"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}");
    assert_eq!(jwt.verify(token, 0).unwrap_err(), AuthError::Invalid("it has no sub"));
    assert_eq!(why(token), "its signature is wrong", "by another key");
}

#[test]
fn a_changed_token_is_refused_whatever_was_changed() {
    let token = sign(r#"{"sub":"ann"}"#);
    verify(&token).unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n";
    for at in 0..token.len() {
        for other in alphabet.chars().filter(|&other| !token[at..].starts_with(other)) {
            let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(verify(&changed).is_err(), "{changed}");
        }
        let shorter = format!("{}{}", &token[..at], &token[at + 1..]);
        assert!(verify(&shorter).is_err() && verify(&token[..at]).is_err(), "{shorter}");
    }
    assert!(verify(&format!("{token}A")).is_err() && verify(&format!("{token}=")).is_err());
}

#[test]
fn a_forged_token_is_refused() {
    let payload = r#"{"sub":"root"}"#;
    let good = sign(payload);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, encoded) = signed.split_once('.').unwrap();
    assert_eq!(
        why(&sign_with(b"another secret of 32 bytes......", HEADER, payload.as_bytes())),
        "its signature is wrong"
    );
    assert_eq!(why(&format!("{signed}.")), "its signature is wrong", "a signature that was taken away");
    assert_eq!(why(&format!("{signed}.{}", BASE64URL.encode([0; 32]))), "its signature is wrong");
    let ann = BASE64URL.encode(r#"{"sub":"ann"}"#);
    assert_eq!(why(&format!("{header}.{ann}.{signature}")), "its signature is wrong", "another payload");
    let other = BASE64URL.encode(r#"{"typ":"JWT","alg":"HS256"}"#);
    assert_eq!(why(&format!("{other}.{encoded}.{signature}")), "its signature is wrong", "another header");
    // Cut to a part: RFC 7518 §3.2 wants all of it.
    let short = BASE64URL.encode(&BASE64URL.decode(signature).unwrap()[..16]);
    assert_eq!(why(&format!("{signed}.{short}")), "its signature is wrong");
}

#[test]
fn no_algorithm_but_hs256_is_taken_even_with_a_good_signature() {
    for alg in
        ["none", "None", "NONE", "", "hs256", "HS256 ", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "dir"]
    {
        let token = sign_with(SECRET, &format!(r#"{{"alg":"{alg}"}}"#), br#"{"sub":"ann"}"#);
        assert_eq!(why(&token), "its algorithm is not HS256", "{alg}");
        let unsigned = &token[..=token.rfind('.').unwrap()];
        assert_eq!(why(unsigned), "its algorithm is not HS256", "{alg}");
    }
    for (header, rule) in [
        ("{}", "its header has no alg"),
        (r#"{"alg":["HS256"]}"#, "its header has no alg"),
        (r#"{"alg":"none","alg":"HS256"}"#, "a name stands twice in its header"),
        (r#"{"alg":"HS256","crit":[]}"#, "its header has crit, and nothing of that is known here"),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, "its header has crit, and nothing of that is known here"),
        ("[]", "its header is no JSON object"),
        ("", "its header is no JSON object"),
    ] {
        assert_eq!(why(&sign_with(SECRET, header, br#"{"sub":"ann"}"#)), rule, "{header}");
    }
    // RFC 7515 §4.1: what a header says of keys is not for us to follow.
    let bring_your_own = r#"{"alg":"HS256","kid":"../../dev/null","jku":"https://evil","jwk":{"kty":"oct","k":"AA"}}"#;
    verify(&sign_with(SECRET, bring_your_own, br#"{"sub":"ann"}"#)).unwrap();
}

#[test]
fn base64url_is_strict() {
    // Each is signed as it stands there; how a signature may be written is shown where every character of it is changed.
    let resign = |header: &str, payload: &str| {
        let signed = format!("{header}.{payload}");
        let mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap().chain_update(&signed);
        format!("{signed}.{}", BASE64URL.encode(mac.finalize().into_bytes()))
    };
    let (header, payload) = (BASE64URL.encode(HEADER), BASE64URL.encode(r#"{"sub":"ann12"}"#));
    assert_eq!(verify(&resign(&header, &payload)).map(|grant| grant.user.to_string()), Ok("ann12".to_owned()));
    let two_bytes_at_its_end = BASE64URL.encode(r#"{"sub":"ann1"}"#);
    verify(&resign(&header, &two_bytes_at_its_end)).unwrap();
    let padded = format!("{two_bytes_at_its_end}=");
    let trailing_bits = two_bytes_at_its_end.replace("In0", "In1");
    assert_ne!(trailing_bits, two_bytes_at_its_end);
    for payload in [padded, trailing_bits, format!("{payload}\n"), format!(" {payload}"), format!("{payload}A")] {
        assert_eq!(why(&resign(&header, &payload)), "its payload is no base64url", "{payload}");
    }
    for header in [format!("{header}="), format!("{header} "), "{}".to_owned()] {
        assert_eq!(why(&resign(&header, &payload)), "its header is no base64url", "{header}");
    }
}

#[test]
fn a_token_has_three_parts() {
    for token in ["", "a", "a.b", "..", "a.b.c.d", &format!("{}.", sign("{}")), &format!(".{}", sign("{}"))] {
        assert!(verify(token).is_err(), "{token}");
    }
    assert_eq!(why("a.b.c.d.e"), "it has not the three parts of a JWT");
}

#[test]
fn the_payload_is_looked_at_only_behind_a_good_signature() {
    for payload in ["no JSON", r#"{"sub":1}"#, r#"{"sub":"ann","exp":1}"#] {
        let token = sign_with(b"another", HEADER, payload.as_bytes());
        assert_eq!(why(&token), "its signature is wrong", "{payload}");
    }
    assert_eq!(why(&sign("no JSON")), "its payload is no JSON object");
    assert_eq!(why(&sign_with(SECRET, HEADER, b"{\"sub\":\"\xff\"}")), "its payload is no JSON object");
}

#[test]
fn claims_of_wrong_types_are_refused() {
    let user = "its sub has not 1 to 128 bytes without control characters";
    let long = format!(r#"{{"sub":"{}"}}"#, "u".repeat(129));
    for (payload, rule) in [
        ("{}", "it has no sub"),
        (r#"{"sub":null}"#, "sub is no string"),
        (r#"{"sub":["ann"]}"#, "sub is no string"),
        (r#"{"sub":""}"#, user),
        (r#"{"sub":"ann\r\nINFO closed"}"#, user),
        (r#"{"sub":"ann\u0000"}"#, user),
        (r#"{"sub":"ann\u009b"}"#, user),
        (&long, user),
        (r#"{"sub":"ann","sub":"root"}"#, "a name stands twice in its payload"),
        (r#"{"sub":"ann","s\u0075b":"root"}"#, "a name stands twice in its payload"),
        (r#"{"sub":"ann","exp":"1900000000"}"#, "exp is no number"),
        (r#"{"sub":"ann","exp":null}"#, "exp is no number"),
        (r#"{"sub":"ann","nbf":[]}"#, "nbf is no number"),
        (r#"{"sub":"ann","aud":1}"#, "aud is no list of strings"),
        (r#"{"sub":"ann","rooms":"a"}"#, "rooms is no list of strings"),
        (r#"{"sub":"ann","read":null}"#, "read is no list of strings"),
        (r#"{"sub":"ann","read":["a",1]}"#, "read is no list of strings"),
        (r#"{"sub":"ann","rooms":[""]}"#, "the name of a room has 1 to 128 bytes and no control characters"),
    ] {
        assert_eq!(why(&sign(payload)), rule, "{payload}");
    }
    let rooms = format!(r#"{{"sub":"ann","rooms":[{}"r"]}}"#, r#""r","#.repeat(1000));
    assert_eq!(why(&sign(&rooms)), "a list of rooms has at most 1000 names");
    assert_eq!(verify(&sign(&long.replacen('u', "", 2).replace("sb", "sub"))).unwrap().user.len(), 128);
}

#[test]
fn a_token_ends_30_s_behind_exp_and_not_before() {
    let at = |exp: &str, unix_ms: u64| jwt().verify(&sign(&format!(r#"{{"sub":"ann","exp":{exp}}}"#)), unix_ms);
    let end = 1_300_819_380_000 + LEEWAY_MS;
    assert_eq!(at("1300819380", end - 1).unwrap().expires_at_ms, Some(end));
    for unix_ms in [end, end + 1, u64::MAX] {
        assert_eq!(at("1300819380", unix_ms).unwrap_err(), AuthError::Expired);
    }
    assert_eq!(at("1300819380.25", end + 249).unwrap().expires_at_ms, Some(end + 250));
    assert_eq!(at("1300819380.25", end + 250).unwrap_err(), AuthError::Expired);
    for exp in ["0", "-1", "-1e300", "1e-9"] {
        assert_eq!(at(exp, LEEWAY_MS - 1).unwrap().expires_at_ms, Some(LEEWAY_MS), "{exp}");
        assert_eq!(at(exp, NOW_S * 1000).unwrap_err(), AuthError::Expired, "{exp}");
    }
    for exp in ["1e300", "1e400", "99999999999999999999999999"] {
        assert_eq!(at(exp, NOW_S * 1000).unwrap().expires_at_ms, Some(253_402_300_829_999), "{exp}");
    }
}

#[test]
fn a_token_begins_30_s_before_nbf_and_not_sooner() {
    let at = |nbf: &str, unix_ms: u64| jwt().verify(&sign(&format!(r#"{{"sub":"ann","nbf":{nbf}}}"#)), unix_ms);
    let start = 1_300_819_380_000 - LEEWAY_MS;
    assert!(at("1300819380", start).is_ok() && at("1300819380", u64::MAX).is_ok());
    assert_eq!(at("1300819380", start - 1).unwrap_err(), AuthError::Invalid("it is not yet good"));
    assert_eq!(at("1300819380", 0).unwrap_err(), AuthError::Invalid("it is not yet good"));
    assert!(at("-1", 0).is_ok() && at("0", 0).is_ok());
    assert!(at("1e400", NOW_S * 1000).is_err());
}

#[test]
fn an_audience_that_is_wanted_must_be_named() {
    let ours = Jwt::new(SECRET, Some("chat".to_owned())).unwrap();
    for (aud, is_good) in [
        (r#","aud":"chat""#, true),
        (r#","aud":["x","chat"]"#, true),
        (r#","aud":"Chat""#, false),
        (r#","aud":"chat2""#, false),
        (r#","aud":["x"]"#, false),
        (r#","aud":[]"#, false),
        ("", false),
    ] {
        let token = sign(&format!(r#"{{"sub":"ann"{aud}}}"#));
        let outcome = ours.verify(&token, 0);
        assert_eq!(
            outcome.err(),
            (!is_good).then_some(AuthError::Invalid("its aud does not name this server")),
            "{aud}"
        );
        assert!(verify(&token).is_ok(), "without one of ours it does not matter: {aud}");
    }
}

#[test]
fn a_secret_is_the_file_without_its_last_line_end() {
    let token = sign(r#"{"sub":"ann"}"#);
    for end in ["", "\n", "\r\n"] {
        let jwt = Jwt::new(&[SECRET, end.as_bytes()].concat(), None).unwrap();
        assert!(jwt.verify(&token, 0).is_ok() && !jwt.is_weak(), "{end:?}");
    }
    for end in ["\n\n", " ", "\r", "\n "] {
        let jwt = Jwt::new(&[SECRET, end.as_bytes()].concat(), None).unwrap();
        assert!(jwt.verify(&token, 0).is_err(), "{end:?}");
    }
    for empty in ["", "\n", "\r\n"] {
        assert_eq!(Authenticator::jwt(empty.as_bytes(), None).unwrap_err(), "the secret is empty", "{empty:?}");
    }
    assert!(Authenticator::jwt(&[b'x'; 31], None).unwrap().is_weak());
    assert!(Authenticator::jwt(b"x\n", None).unwrap().is_weak());
    assert!(!Authenticator::jwt(&[b'x'; 32], None).unwrap().is_weak());
}

#[test]
fn a_token_has_a_longest_length() {
    let jwt = Authenticator::jwt(SECRET, None).unwrap();
    let token = |padding: usize| sign(&format!(r#"{{"sub":"ann","x":"{}"}}"#, "x".repeat(padding)));
    let longest = (6000..).map(token).take_while(|token| token.len() <= TOKEN_BYTES_MAX).last().unwrap();
    assert!(longest.len() > TOKEN_BYTES_MAX - 3 && jwt.verify(&longest, 0).is_ok());
    let longer = token(6100);
    assert!(longer.len() > TOKEN_BYTES_MAX);
    assert_eq!(jwt.verify(&longer, 0).unwrap_err(), AuthError::Invalid("it is longer than 8192 bytes"));
}

#[test]
fn nothing_that_is_shown_holds_the_key_or_the_token() {
    let jwt = Authenticator::jwt(b"hush-hush", Some("chat".to_owned())).unwrap();
    assert_eq!(format!("{jwt:?}"), "Jwt(Jwt { audience: Some(\"chat\"), .. })");
    for payload in ["hush", r#"{"sub":"hush\n"}"#, r#"{"sub":"a","hush":1,"hush":1}"#, r#"{"sub":"a","exp":"hush"}"#] {
        for error in [verify(&sign(payload)), verify("hush.hush.hush"), jwt.verify(&sign(payload), 0)] {
            let error = error.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
    }
}
