//! Valid messages, cut and changed in thousands of ways, each the same in every run: what comes back is always an answer.

use serde_json::Value;

use super::super::*;

const MESSAGES: [&str; 10] = [
    r#"{"type":"hello","id":1,"v":1,"token":"…","info":{"name":"Ann"},"rooms":{"lobby":{"presence":true,"last":20}}}"#,
    r#"{"type":"hello","v":1,"resume":{"session":"s","token":"r"},"rooms":{"d":{"since":{"epoch":"e7","seq":1,"version":9}}}}"#,
    r#"{"type":"auth","id":2,"token":"…"}"#,
    r#"{"type":"join","id":3,"room":"docs","presence":true,"state":true,"last":20}"#,
    r#"{"type":"leave","id":4,"room":"docs"}"#,
    r#"{"type":"chat","id":"m-17","room":"docs","msg":"h\u00efi\ud83d\ude00","from":"me","color":"red","n":-1.5e7}"#,
    r#"{"type":"signal","room":"docs","data":{"typing":true}}"#,
    r#"{"type":"patch","id":5,"room":"docs","base":12,"patch":{"title":"Plan","draft":null}}"#,
    r#"{"type":"ping","id":6}"#,
    r#"[{"type":"ping","id":"\u0061"},{"type":"chat","msg":[1,{}]},{"type":"leave"}]"#,
];

/// What changes a message for another one, rather than only breaks it.
const PIECES: [&str; 24] = [
    "\"", "\\", "{", "}", "[", "]", ":", ",", "0", "-", ".", "e", " ", "null", "true", "\"id\"", "\"type\"",
    "\"room\"", "\\ud800", "\\u0000", "é", "\0", "\"chat\"", "{}",
];

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn change(&mut self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(3) {
            let (from, length) = (self.below(characters.len() + 1), self.below(12));
            let to = (from + length).min(characters.len());
            match self.below(4) {
                0 => characters.truncate(to),
                1 => drop(characters.drain(from..to)),
                2 => {
                    let again: Vec<char> = characters[from..to].to_vec();
                    let at = self.below(characters.len() + 1);
                    characters.splice(at..at, again);
                }
                _ => {
                    let to = from + (to - from).min(self.below(3));
                    characters.splice(from..to, PIECES[self.below(PIECES.len())].chars());
                }
            }
        }
        characters.into_iter().collect()
    }
}

/// A second opinion: serde_json's own tree, where it takes the text.
fn check(text: &str) -> usize {
    let tree: Option<Value> = serde_json::from_str(text).ok();
    if let (Ok(request), Some(tree)) = (parse_plain(text), &tree) {
        assert_eq!(matches!(request.body, Body::Chat(_)), tree["type"] == "chat", "{text}");
    }
    match parse_session(text, 3) {
        Ok(Input::One(result)) => check_one(text, tree.as_ref(), &result),
        Ok(Input::Batch(results)) => {
            assert!((1..=3).contains(&results.len()), "{text}");
            let elements = tree.as_ref().and_then(Value::as_array);
            assert!(elements.is_none_or(|elements| elements.len() == results.len()), "{text}");
            let element = |index| elements.map(|elements| &elements[index]);
            results.iter().enumerate().map(|(index, result)| check_one(text, element(index), result)).sum()
        }
        Err(error) => {
            let object: Value = serde_json::from_str(&error.to_json()).unwrap();
            assert_eq!(object["code"], error.code.as_str());
            0
        }
    }
}

/// Returns 1 for what is accepted.
fn check_one(text: &str, tree: Option<&Value>, result: &Result<Request<'_>, Refusal>) -> usize {
    let (id, accepted) = match result {
        Ok(request) => (&request.id, 1),
        Err(refusal) => (&refusal.id, 0),
    };
    if let (Some(id), Some(tree)) = (id, tree) {
        let id: Value = serde_json::from_str(id.as_json()).unwrap();
        assert!(id.is_string() || id.is_number(), "{text}");
        assert_eq!(tree["id"], id, "{text}");
    }
    match result {
        Ok(Request { body: Body::Chat(chat), .. }) => {
            let own = format!(r#"{{"type":"chat"{}}}"#, chat.own_members());
            let again = parse_plain(&own).map(|request| matches!(request.body, Body::Chat(_)));
            assert_eq!(again, Ok(true), "{text}: {own}");
            if let Some(tree) = tree {
                let mut expected = tree.as_object().unwrap().clone();
                expected.retain(|name, _| name == "type" || !RESERVED.contains(&name.as_str()));
                assert_eq!(serde_json::from_str::<Value>(&own).unwrap(), Value::Object(expected), "{text}");
            }
        }
        Ok(_) => assert!(tree.is_none_or(Value::is_object), "{text}"),
        Err(refusal) => {
            let json = refusal.to_json();
            assert!(json.len() < 2_000, "an answer is short whatever was asked: {json}");
            let object: Value = serde_json::from_str(&json).unwrap();
            assert_eq!((&object["type"], &object["code"]), (&"error".into(), &refusal.error.code.as_str().into()));
            assert_eq!(object["field"].as_str(), refusal.error.field);
        }
    }
    accepted
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    for text in MESSAGES {
        assert!(check(text) > 0, "{text}");
        for (at, _) in text.char_indices() {
            assert_eq!(check(&text[..at]), 0, "{text:.at$}");
            check(&text[at..]);
        }
    }
}

#[test]
fn a_message_changed_anyhow_gets_an_answer_that_fits_it() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, rounds) = (0, 40_000);
    for round in 0..rounds {
        let text = random.change(MESSAGES[round % MESSAGES.len()]);
        accepted += check(&text);
    }
    assert!((rounds / 20..rounds).contains(&accepted), "some are still messages and many are not: {accepted}");
}
