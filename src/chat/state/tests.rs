//! What a room's state promises, and a comparison with a model over many random patches.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value as Json;

use super::*;

const ANY: Bounds = Bounds { bytes_max: usize::MAX, held_bytes_max: usize::MAX, depth_max: usize::MAX };

/// The state after these patches, which are all accepted.
fn state_after(patches: &[&str]) -> RoomState {
    let mut state = RoomState::default();
    for (index, patch) in patches.iter().enumerate() {
        assert_eq!(state.apply(patch, &ANY), Ok(index as u64 + 1), "{patch}");
        assert_eq!(state.bytes(), state.to_json().len(), "{patch}");
    }
    state
}

#[test]
fn a_new_state_is_an_empty_object_of_version_0() {
    let state = RoomState::default();
    assert_eq!((state.version(), state.bytes(), state.to_json().as_str()), (0, 2, "{}"));
}

/// RFC 7396, appendix A: all that patch an object without nulls (a state never holds one) with an object.
#[test]
fn the_examples_of_the_rfc() {
    for (original, patch, result) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        assert_eq!(state_after(&[original, patch]).to_json(), result, "{original} and {patch}");
    }
}

/// RFC 7396 §3.
#[test]
fn the_long_example_of_the_rfc() {
    let original = r#"{ "title": "Goodbye!", "author" : { "givenName" : "John", "familyName" : "Doe" },
        "tags":[ "example", "sample" ], "content": "This will be unchanged" }"#;
    let patch = r#"{ "title": "Hello!", "phoneNumber": "+01-123-456-7890", "author": { "familyName": null },
        "tags": [ "example" ] }"#;
    let result = r#"{"author":{"givenName":"John"},"content":"This will be unchanged","#.to_owned()
        + r#""phoneNumber":"+01-123-456-7890","tags":[ "example" ],"title":"Hello!"}"#;
    assert_eq!(state_after(&[original, patch]).to_json(), result);
}

#[test]
fn scalars_and_arrays_are_kept_as_they_were_written() {
    for text in [
        "1e400",
        "123456789012345678901234567890",
        "-0",
        "1.0",
        "1E+2",
        "true",
        "false",
        r#""a\u0062\/😀\"}""#,
        "[ 1.0,\n[null , {\"b\" : null}], \"]\\\"]\" ]",
        "[]",
    ] {
        let patch = format!(" {{\t\"a\" :\r\n {text} , \"n\" : {{ \"a\" : {text} }} }} ");
        assert_eq!(state_after(&[&patch]).to_json(), format!(r#"{{"a":{text},"n":{{"a":{text}}}}}"#));
    }
}

#[test]
fn an_object_takes_the_place_of_what_is_none_and_gives_way_to_it() {
    let state = state_after(&[r#"{"a":1,"b":[{"x":1}]}"#, r#"{"a":{"x":null,"y":2},"b":{"z":{}}}"#]);
    assert_eq!(state.to_json(), r#"{"a":{"y":2},"b":{"z":{}}}"#);
    let state = state_after(&[r#"{"a":{"x":1},"b":{"y":{"z":1}}}"#, r#"{"a":[],"b":{"y":null}}"#]);
    assert_eq!(state.to_json(), r#"{"a":[],"b":{}}"#);
}

#[test]
fn names_are_compared_unescaped() {
    let state = state_after(&[
        r#"{"a":1,"\u00e9":1,"\ud83d\ude00":1,"q\u0022":1,"\/":1,"\u0000":1,"":1}"#,
        r#"{"\u0061":2,"é":null,"😀":3,"q\"":4,"/":null,"":null}"#,
    ]);
    assert_eq!(state.to_json(), r#"{"\u0000":1,"a":2,"q\"":4,"😀":3}"#);
    let mut state = state;
    let repeated = |name: &str| Err(StateError::Repeated(name.to_owned()));
    assert_eq!(state.apply(r#"{"a":1,"b":2,"\u0061":1}"#, &ANY), repeated("a"));
    assert_eq!(state.apply(r#"{"x":{"b":{"é\"":null,"\u00E9\u0022":null}}}"#, &ANY), repeated(r#"é\""#));
    assert_eq!(state.apply(r#"{"x":[1,[{"":1,"":1}]]}"#, &ANY), repeated(""), "in arrays as well");
    let long = "x".repeat(1000);
    assert_eq!(state.apply(&format!(r#"{{"{long}":1,"{long}":1}}"#), &ANY), repeated(&long[..64]));
    assert_eq!(state.apply(r#"{"a":{"a":[{"a":1},{"a":1}]},"b":{"a":1}}"#, &ANY), Ok(3), "not in one object");
}

#[test]
fn every_accepted_patch_counts_and_no_refused_one() {
    let mut state = state_after(&["{}", " { } ", r#"{"a":1}"#, r#"{"a":1}"#, r#"{"b":null}"#]);
    assert_eq!(state.version(), 5);
    assert_eq!(state.apply(r#"{"a":1,"a":1}"#, &ANY), Err(StateError::Repeated("a".to_owned())));
    assert_eq!(state.version(), 5);
    assert_eq!(state.apply("{}", &ANY), Ok(6));
}

#[test]
fn a_patch_that_is_no_object_is_refused() {
    let mut state = state_after(&[r#"{"a":"foo"}"#]);
    for patch in
        ["null", "\"bar\"", "[\"c\"]", "1", "true", "[{}]", "", " ", "{", "{}{}", "{\"a\":1}x", "{\"a\":}", "{,}"]
    {
        assert_eq!(state.apply(patch, &ANY), Err(StateError::NoObject), "{patch}");
    }
    assert_eq!((state.version(), state.to_json().as_str()), (1, r#"{"a":"foo"}"#));
}

#[test]
fn a_refused_patch_changes_nothing_not_even_what_came_before_its_fault() {
    let before = r#"{"a":{"b":1},"c":[2]}"#;
    let mut state = state_after(&[before]);
    let long = "x".repeat(80);
    for (patch, error) in [
        (format!(r#"{{"a":null,"c":{{"d":1}},"z":"{long}"}}"#), StateError::TooLarge { bytes_max: 80 }),
        (format!(r#"{{"a":{{"b":2,"{long}":1}}}}"#), StateError::TooLarge { bytes_max: 80 }),
        (r#"{"a":null,"c":{"d":{"e":{}}}}"#.to_owned(), StateError::TooDeep { depth_max: 3 }),
        (r#"{"a":{"b":{"c":{"d":null}}}}"#.to_owned(), StateError::TooDeep { depth_max: 3 }),
        (r#"{"a":{"b":[[]]}}"#.to_owned(), StateError::TooDeep { depth_max: 3 }),
        (r#"{"a":null,"c":{"d":1,"d":2}}"#.to_owned(), StateError::Repeated("d".to_owned())),
    ] {
        assert_eq!(state.apply(&patch, &Bounds { bytes_max: 80, depth_max: 3, ..ANY }), Err(error), "{patch}");
        assert_eq!((state.version(), state.bytes(), state.to_json().as_str()), (1, before.len(), before), "{patch}");
    }
    assert_eq!(
        state.apply(r#"{"a":{"b":[]},"c":{"d":{}}}"#, &Bounds { bytes_max: 80, depth_max: 3, ..ANY }),
        Ok(2),
        "as deep as may be"
    );
}

#[test]
fn the_bound_of_bytes_is_for_what_comes_out_and_not_for_the_patch() {
    let mut state = RoomState::default();
    assert_eq!(state.apply(r#"{"a":12345}"#, &Bounds { bytes_max: 11, ..ANY }), Ok(1), "just as long as may be");
    assert_eq!(
        state.apply(r#"{"a":123456}"#, &Bounds { bytes_max: 11, ..ANY }),
        Err(StateError::TooLarge { bytes_max: 11 })
    );
    assert_eq!(
        state.apply(r#"{"b":1}"#, &Bounds { bytes_max: 11, ..ANY }),
        Err(StateError::TooLarge { bytes_max: 11 })
    );
    let patch = format!(r#"{{ "a" : null, "b" : 12345, "{}" : null }}"#, "x".repeat(100));
    assert_eq!(state.apply(&patch, &Bounds { bytes_max: 11, ..ANY }), Ok(2));
    assert_eq!(state.to_json(), r#"{"b":12345}"#);
}

#[test]
fn there_is_memory_for_so_much_state_and_a_state_may_always_become_smaller() {
    let bounds = Bounds { held_bytes_max: 1000, ..ANY };
    let mut state = RoomState::default();
    let small = format!(r#"{{"a":"{}"}}"#, "x".repeat(790));
    assert_eq!(state.apply(&small, &bounds), Ok(1), "few members, long");
    assert_eq!((state.held_bytes(), state.apply(r#"{"b":1}"#, &bounds)), (1000 - 3, Err(StateError::NoMemory)));
    assert_eq!(state.apply(r#"{"a":null,"b":{"c":{"d":{}}}}"#, &bounds), Ok(2), "many members, short");
    assert_eq!(state.apply(r#"{"b":{"c":{"e":{"f":{}}}}}"#, &bounds), Err(StateError::NoMemory));
    assert_eq!(state.apply(r#"{"b":null}"#, &bounds), Ok(3));
    assert_eq!((state.held_bytes(), state.to_json().as_str()), (0, "{}"));
}

#[test]
fn a_patch_of_a_large_state_costs_what_the_patch_holds() {
    let mut state = RoomState::default();
    let members: Vec<String> = (0..100_000).map(|index| format!(r#""n{index}":{{"x":{index}}}"#)).collect();
    state.apply(&format!("{{{0},\"all\":{{{0}}}}}", members.join(",")), &ANY).unwrap();
    let bytes = state.bytes();
    for patch in [
        r#"{"n500":{"x":7},"n501":{"y":{"z":[]}},"all":{"n502":{"x":7}}}"#,
        r#"{"new":1,"n503":null,"all":{"n504":null}}"#,
    ] {
        let cost = allocation_counter::measure(|| {
            state.apply(patch, &ANY).unwrap();
        });
        assert!(cost.bytes_total < 10_000, "{cost:?} for {patch}, in a state of {bytes} bytes");
    }
    // Refused for its bytes: that the whole of a large member would go must not cost its size either.
    let cost = allocation_counter::measure(|| {
        state.apply(r#"{"all":null,"n1":null}"#, &Bounds { bytes_max: 10, ..ANY }).unwrap_err();
    });
    assert!(cost.bytes_total < 10_000, "{cost:?}");
    assert_eq!(state.bytes(), state.to_json().len());
}

#[test]
fn a_state_of_small_objects_takes_a_bounded_multiple_of_its_json() {
    let nested = format!("{}1{}", "{\"\":".repeat(45), "}".repeat(45));
    let wide = "{\"\":1}";
    for value in [nested.as_str(), wide, "{}", "1"] {
        let members: Vec<String> = (0..5000).map(|index| format!("\"{index:x}\":{value}")).collect();
        let (patch, mut state) = (format!("{{{}}}", members.join(",")), RoomState::default());
        let cost = allocation_counter::measure(|| drop(state.apply(&patch, &ANY)));
        assert_eq!(state.bytes(), patch.len());
        assert!(cost.bytes_max < 30 * patch.len() as u64, "{cost:?} for {} bytes of {value}", patch.len());
        // What it is said to hold is no less than it does, but not many times as much.
        let held = state.held_bytes();
        let freed = allocation_counter::measure(|| drop(state)).bytes_current.unsigned_abs() as usize;
        assert!((freed..4 * freed).contains(&held), "{held} for {freed}, of {value}");
    }
}

#[test]
fn no_text_panics_or_breaks_the_account() {
    let patch = r#"{"a\u00e9\ud83d\ude00\n":[1,{"b":"\\\""}],"c":{"d":null,"é":-1.5e+3,"c":{}},"t":true}"#;
    let mut state = RoomState::default();
    let mut outcomes = [0, 0];
    for end in (0..=patch.len()).filter(|&end| patch.is_char_boundary(end)) {
        for insert in ["", "{", "}", "[", "]", "\"", "\\", ",", ":", "null", "é", "\\u", "\0", " 1"] {
            for tail in ["", &patch[end..]] {
                let text = format!("{}{insert}{tail}", &patch[..end]);
                outcomes[usize::from(state.apply(&text, &Bounds { bytes_max: 100, depth_max: 5, ..ANY }).is_ok())] += 1;
                assert_eq!(state.bytes(), state.to_json().len(), "{text}");
            }
        }
    }
    assert!(outcomes.iter().all(|&count| count > 50), "{outcomes:?}");
}

/// RFC 7396 §2, word for word.
fn merge_patch(target: &mut Json, patch: &Json) {
    let Json::Object(patch) = patch else { return *target = patch.clone() };
    if !target.is_object() {
        *target = Json::Object(Default::default());
    }
    let target = target.as_object_mut().unwrap();
    for (name, value) in patch {
        match value {
            Json::Null => drop(target.remove(name)),
            _ => merge_patch(target.entry(name.as_str()).or_insert(Json::Null), value),
        }
    }
}

fn depth(value: &Json) -> usize {
    match value {
        Json::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Json::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn many_random_patches_do_what_the_model_does() {
    let bounds = Bounds { bytes_max: 250, depth_max: 4, ..ANY };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut state = RoomState::default();
    let (mut model, mut version) = (serde_json::json!({}), 0);
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..10_000 {
        let mut patch = String::new();
        let repeats = random.object(&mut patch, 1);
        let mut merged = model.clone();
        merge_patch(&mut merged, &serde_json::from_str(&patch).unwrap());
        let (is_large, is_deep) = (merged.to_string().len() > bounds.bytes_max, depth(&merged) > bounds.depth_max);
        let (before, result) = (state.to_json(), state.apply(&patch, &bounds));
        let outcome = match result {
            Ok(_) => "accepted",
            Err(StateError::TooLarge { .. }) => "large",
            Err(StateError::TooDeep { .. }) => "deep",
            Err(StateError::Repeated(_)) => "repeated",
            Err(StateError::NoObject | StateError::NoMemory) => "another",
        };
        *outcomes.entry(outcome).or_default() += 1;
        match outcome {
            "deep" => assert!(is_deep || repeats, "{patch} for {before}"),
            "repeated" => assert!(repeats, "{patch} for {before}"),
            "large" => assert!(is_large && !is_deep && !repeats, "{patch} for {before}"),
            _ => {
                assert!(!is_large && !is_deep && !repeats, "{patch} for {before}");
                (model, version) = (merged, version + 1);
                assert_eq!(state.bytes(), model.to_string().len(), "{patch} for {before}");
            }
        }
        let json = state.to_json();
        assert_eq!((state.version(), state.bytes()), (version, json.len()), "{patch} for {before}");
        assert_eq!(serde_json::from_str::<Json>(&json).unwrap(), model, "{patch} for {before}");
        assert!(outcome == "accepted" || json == before, "{patch} for {before}");
    }
    for outcome in ["accepted", "large", "deep", "repeated"] {
        assert!(outcomes[outcome] > 300, "the patches are too much alike: {outcomes:?}");
    }
}

/// Patches that a seed decides (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn space(&mut self, out: &mut String) {
        out.push_str(["", "", "", " ", "\n\t"][self.below(5)]);
    }

    /// An object at this depth. Returns whether a name stands twice in one object of it.
    fn object(&mut self, out: &mut String, depth: usize) -> bool {
        let (mut repeats, mut names) = (false, Vec::new());
        self.space(out);
        out.push('{');
        for index in 0..self.below(5) {
            let mut name = self.below(NAMES.len());
            if names.contains(&name) && self.below(4) > 0 {
                name = (0..NAMES.len()).find(|name| !names.contains(name)).unwrap();
            }
            repeats |= names.contains(&name);
            names.push(name);
            out.push_str(if index > 0 { "," } else { "" });
            self.space(out);
            write!(out, "\"{}\"", NAMES[name][self.below(2)]).unwrap();
            self.space(out);
            out.push(':');
            repeats |= self.value(out, depth);
            self.space(out);
        }
        out.push('}');
        repeats
    }

    /// Scalars and arrays are written as the model would write them, so that lengths can be compared.
    fn value(&mut self, out: &mut String, depth: usize) -> bool {
        match self.below(9) {
            0 | 1 => out.push_str("null"),
            2 | 5 => write!(out, "{}", self.below(100_000)).unwrap(),
            3 | 6 => write!(out, "\"é\\n\\\"{}\"", "x".repeat(self.below(60))).unwrap(),
            4 => out.push_str(["true", "[]", "[null,{\"a\":null}]", "[1,[2,[3]]]", "[[[[[1]]]]]"][self.below(5)]),
            _ if depth < 6 => return self.object(out, depth + 1),
            _ => out.push_str("{}"),
        }
        false
    }
}

/// Each name in two ways.
const NAMES: [[&str; 2]; 8] = [
    ["a", "\\u0061"],
    ["é", "\\u00e9"],
    ["\\n", "\\u000a"],
    ["\\\"", "\\u0022"],
    ["\\u0001", "\\u0001"],
    ["/", "\\/"],
    ["😀", "\\ud83d\\uDE00"],
    ["", ""],
];
