//! §9: extensions. Unless it compresses, this server accepts none, but it reads what is offered.

use std::borrow::Cow;

use frameloop::protocol::{Compression, HandshakeError};

use crate::request::{Answer, accepted, and, refused};

#[test]
fn no_extension_is_in_the_response_whatever_the_client_offers() {
    for offers in [
        "",
        "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame\r\n",
        "Sec-WebSocket-Extensions: nobody-knows-it; a=b\r\nSec-WebSocket-Extensions: mux\r\n",
    ] {
        let answer = Answer::to(&and(offers), &[]);
        assert_eq!(answer.status, 101, "what is not known is not used, and no reason to refuse: {offers}");
        assert!(answer.values("Sec-WebSocket-Extensions").is_empty(), "{:?}", answer.lines);
    }
}

/// The one extension that there is, RFC 7692; the order in which a client offers is the order that it prefers (§9.1).
#[test]
fn the_extension_in_the_response_is_the_first_that_can_be_of_those_offered() {
    let takeover = Compression::Takeover { contexts_max: 1 };
    for (offers, accepted) in [
        ("", None),
        ("Sec-WebSocket-Extensions: x-webkit-deflate-frame, permessage-bzip2\r\n", None),
        ("Sec-WebSocket-Extensions: permessage-deflate; nobody-knows-it\r\n", None),
        ("Sec-WebSocket-Extensions: foo, permessage-deflate, bar\r\n", Some("permessage-deflate")),
        (
            "Sec-WebSocket-Extensions: permessage-deflate; a=b\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=11, permessage-deflate\r\n",
            Some("permessage-deflate; server_max_window_bits=11"),
        ),
    ] {
        let answer = Answer::with(takeover, &and(offers), &[]);
        assert_eq!(answer.status, 101, "{offers}");
        assert_eq!(answer.values("Sec-WebSocket-Extensions"), accepted.into_iter().collect::<Vec<_>>(), "{offers}");
    }
}

#[test]
fn the_parameters_in_the_response_are_those_that_the_extension_specifies() {
    for compression in [Compression::Shared, Compression::Takeover { contexts_max: 1 }] {
        for parameters in ["", "; client_max_window_bits", "; server_max_window_bits=\"9\"; server_no_context_takeover"]
        {
            let offer = format!("Sec-WebSocket-Extensions: permessage-deflate{parameters}\r\n");
            let answer = Answer::with(compression, &and(&offer), &[]);
            let [value] = answer.values("Sec-WebSocket-Extensions")[..] else { panic!("{:?}", answer.lines) };
            let (name, answered) = value.split_once("; ").unwrap_or((value, ""));
            assert_eq!(name, "permessage-deflate");
            for parameter in answered.split("; ").filter(|parameter| !parameter.is_empty()) {
                // RFC 7692 §7.1, and never a value of `client_max_window_bits`, for any window fits.
                let specified =
                    ["server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits=9"];
                assert!(specified.contains(&parameter), "{parameters}: {value}");
            }
        }
    }
}

#[test]
fn a_list_that_breaks_the_grammar_fails_the_handshake() {
    for list in ["a;", ";a", "a b", "a;=b", "a;b=", "a;b=c d", "(a)", "a;b=\"", "a=b", "a;b;", "a\u{e9}", "\"a\""] {
        let answer = refused(&and(&format!("Sec-WebSocket-Extensions: {list}\r\n")), HandshakeError::Extensions, 400);
        assert!(answer.values("Sec-WebSocket-Accept").is_empty(), "{list}");
    }
    refused(&and("Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: a;\r\n"), HandshakeError::Extensions, 400);
}

/// The ABNF is 1#extension: RFC 2616 §2.1 allows elements that are empty, but wants one that is not.
#[test]
fn a_list_without_an_extension_fails_the_handshake() {
    for list in ["", ",", ",, ,", "\t,\t", "\r\nSec-WebSocket-Extensions: ,"] {
        refused(&and(&format!("Sec-WebSocket-Extensions: {list}\r\n")), HandshakeError::Extensions, 400);
    }
}

#[test]
fn the_value_of_a_quoted_parameter_must_be_a_token_once_it_is_unescaped() {
    for value in ["\"b c\"", "\"\"", "\"b,c\"", "\"b\\\"c\"", "\"b;\"", "\"\\\"", "\"b\\ c\""] {
        let head = and(&format!("Sec-WebSocket-Extensions: x; a={value}\r\n"));
        refused(&head, HandshakeError::Extensions, 400);
    }
    for (value, unescaped) in [("b", "b"), ("\"b\"", "b"), ("\"\\b\"", "b"), ("\"b\\-\\c\"", "b-c")] {
        let request = accepted(&and(&format!("Sec-WebSocket-Extensions: x; a={value}\r\n")));
        assert_eq!(request.extensions()[0].parameters, [("a", Some(Cow::Borrowed(unescaped)))], "{value}");
    }
}

/// The example of §9.1, and blanks wherever the "implied *LWS rule" lets them be. Elements that are empty, and lines of
/// them beside one that has an extension, add nothing (RFC 2616 §2.1, §11.3.2).
#[test]
fn a_list_in_several_lines_is_the_same_as_in_one() {
    let one = accepted(&and("Sec-WebSocket-Extensions: foo, bar; baz=2\r\n"));
    for lines in [
        "Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: bar; baz=2\r\n",
        "Sec-WebSocket-Extensions: foo\r\nX: y\r\nsec-websocket-extensions: bar;baz=2\r\n",
        "Sec-WebSocket-Extensions:  foo ,\t bar ; baz = 2 \r\n",
        "Sec-WebSocket-Extensions: ,foo,, bar; baz=2 , \r\n",
        "Sec-WebSocket-Extensions: \r\nSec-WebSocket-Extensions: foo, bar; baz=2\r\nSec-WebSocket-Extensions: ,\r\n",
    ] {
        assert_eq!(accepted(&and(lines)).extensions(), one.extensions(), "{lines:?}");
    }
    let names: Vec<&str> = one.extensions().iter().map(|offer| offer.name).collect();
    assert_eq!(names, ["foo", "bar"], "the order is significant");
}
