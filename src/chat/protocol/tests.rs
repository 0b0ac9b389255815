//! The page is true: its examples are played, and its tables are compared with the code.

mod ids;
mod page;
mod stage;
mod tables;

use std::collections::BTreeSet;

use self::page::{Event, Scene, scenes};
use self::stage::Stage;
use crate::chat::hub::options::{BATCH_MAX, Options};
use crate::chat::wire::request::{Input, parse_session};
use serde_json::Value;

#[test]
fn each_example_is_what_the_server_says_and_all_of_it() {
    let (mut stage, mut heading) = (Stage::new(Options::default()), "");
    for scene in scenes() {
        if scene.heading != heading {
            heading = scene.heading;
            stage = Stage::new(Options::default());
        }
        for step in &scene.steps {
            stage.play(step);
        }
        stage.assert_all_was_shown(scene.steps.last().map_or(0, |step| step.line));
    }
}

#[test]
fn each_example_of_a_client_is_a_request_or_is_refused_as_it_shows() {
    let mut read = 0;
    for Scene { steps, .. } in scenes() {
        for (index, step) in steps.iter().enumerate() {
            let Event::Says(name, text) = &step.event else { continue };
            let refusals = match parse_session(text, BATCH_MAX) {
                Ok(Input::One(request)) => vec![request.err().map(|refusal| refusal.error)],
                Ok(Input::Batch(requests)) => {
                    requests.into_iter().map(|request| request.err().map(|refusal| refusal.error)).collect()
                }
                Err(error) => vec![Some(error)],
            };
            read += refusals.len();
            for error in refusals.into_iter().flatten() {
                let code = format!(r#""code":"{}""#, error.code.as_str());
                let is_shown = steps[index..].iter().any(
                    |step| matches!(&step.event, Event::Gets(other, text) if other == name && text.contains(&code)),
                );
                assert!(is_shown, "line {}: {error}", step.line);
            }
        }
    }
    assert!(read > 40, "{read}");
}

/// The texts of all examples of one direction, those in arrays each for itself.
fn examples(pick: fn(&Event) -> Option<&str>) -> Vec<Value> {
    let scenes = scenes();
    let texts = scenes.iter().flat_map(|scene| &scene.steps).filter_map(|step| pick(&step.event));
    let messages = texts.filter_map(|text| serde_json::from_str(text).ok());
    messages
        .flat_map(|message| match message {
            Value::Array(messages) => messages,
            message => vec![message],
        })
        .collect()
}

fn said(event: &Event) -> Option<&str> {
    if let Event::Says(_, text) = event { Some(text) } else { None }
}

fn got(event: &Event) -> Option<&str> {
    if let Event::Gets(_, text) = event { Some(text) } else { None }
}

/// What stands under a name in these examples.
fn values(messages: &[Value], name: &str) -> BTreeSet<String> {
    messages.iter().filter_map(|message| message[name].as_str()).map(str::to_owned).collect()
}

#[test]
fn short_names_of_ids_stand_for_one_id_each() {
    let mut ids = ids::Ids::default();
    let (one, other) = (format!("\"s_{:032x}\"", 1), format!("\"s_{:032x}\"", 2));
    assert!(ids.agree("\"s_ann\"", &one) && ids.agree("\"s_ann\"", &one) && ids.agree("\"s_bob\"", &other));
    assert!(!ids.agree("\"s_ann\"", &other) && !ids.agree("\"s_cid\"", &one), "an id has one name");
    assert!(!ids.agree("\"r_ann\"", &format!("\"s_{:032x}\"", 3)), "a secret is no id");
    assert!(!ids.agree("\"s_cid\"", "\"s_3\"") && !ids.agree("\"s_cid\"", "\"x\"") && !ids.agree("\"a\"", "\"a\",1"));
    assert_eq!(ids.shown(&ids.real("[\"s_bob\",\"s_new\"]")), "[\"s_bob\",\"s_new\"]");
}
