//! The fuzz targets without a fuzzer: every input of `fuzz/corpus/` keeps the invariant of its target, and the corpus
//! begins with the examples of §5.7 and the streams of `tests/cuts`.

#![allow(clippy::unwrap_used)]

#[path = "../cuts/control.rs"]
#[allow(dead_code)]
mod control;
#[path = "../cuts/corpus.rs"]
#[allow(dead_code)]
mod corpus;
mod deflate;
#[path = "../cuts/handshakes.rs"]
#[allow(dead_code)]
mod handshakes;
#[path = "../cuts/messages.rs"]
#[allow(dead_code)]
mod messages;
mod seeds;
mod sessions;
mod tokens;
#[path = "../cuts/violations.rs"]
#[allow(dead_code)]
mod violations;
#[path = "../wire/mod.rs"]
#[allow(dead_code)]
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use frameloop::test_support::{self, Difference};

type Target = fn(&[u8]);

const TARGETS: &[(&str, Target)] = &[
    ("chat", test_support::chat),
    ("close_payload", test_support::close_payload),
    ("connection", test_support::connection),
    ("differential", |data| {
        difference(data);
    }),
    ("extension_offers", test_support::extension_offers),
    ("frame_header", test_support::frame_header),
    ("handshake", test_support::handshake),
    ("inflate", test_support::inflate),
    ("lifecycle", test_support::lifecycle),
    ("mask", test_support::mask),
    ("proxy_header", test_support::proxy_header),
    ("requests", test_support::requests),
    ("sessions", test_support::sessions),
    ("tokens", test_support::tokens),
    ("utf8", test_support::utf8),
    ("wire", test_support::wire),
];

fn difference(data: &[u8]) -> Vec<Difference> {
    test_support::differential(data).into_iter().collect()
}

#[test]
fn every_input_of_the_corpus_keeps_its_invariant() {
    for &(target, holds) in TARGETS {
        let inputs = files(&corpus_of(target));
        assert!(!inputs.is_empty(), "{target} has no seed");
        for (name, bytes) in inputs {
            assert!(bytes.len() <= 4096, "{target}/{name}: seeds are small");
            let outcome = catch_unwind(|| holds(&bytes)); // the panic has said what is wrong
            assert!(outcome.is_ok(), "fuzz/corpus/{target}/{name}");
        }
    }
}

/// Run with `BLESS=1` to write the seeds.
#[test]
fn the_corpus_has_the_seeds_that_are_made_here() {
    for (target, seeds) in seeds::all() {
        assert!(TARGETS.iter().any(|&(name, _)| name == target), "there is no target {target}");
        let directory = corpus_of(target);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(&directory).unwrap();
            for (name, bytes) in &seeds {
                fs::write(directory.join(name), bytes).unwrap();
            }
        }
        let inputs: BTreeMap<String, Vec<u8>> = files(&directory).into_iter().collect();
        for (name, bytes) in seeds {
            assert_eq!(inputs.get(&name), Some(&bytes), "fuzz/corpus/{target}/{name}: BLESS=1 writes it");
        }
    }
}

#[test]
fn every_function_has_a_target_of_less_than_ten_lines_and_every_target_a_function() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let targets: BTreeSet<String> = files(&fuzz.join("fuzz_targets")).into_iter().map(|(name, _)| name).collect();
    let checked: BTreeSet<String> = TARGETS.iter().map(|(target, _)| format!("{target}.rs")).collect();
    assert_eq!(targets, checked, "fuzz/fuzz_targets, and TARGETS, whose corpus is checked here");
    for (target, _) in TARGETS {
        let text = fs::read_to_string(fuzz.join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(text.lines().count() < 10 && text.contains(&format!("{target}(data)")), "{target}: {text}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target} is in fuzz/Cargo.toml");
    }
}

/// The match is exhaustive, so that a new difference needs a seed that shows it.
#[test]
fn each_difference_from_tungstenite_is_shown_by_a_seed() {
    let mut shown = BTreeSet::new();
    for (_, bytes) in files(&corpus_of("differential")) {
        shown.extend(difference(&bytes).into_iter().map(|difference| match difference {
            Difference::ShortestLength => 0,
            Difference::Sooner => 1,
            Difference::OrderOfChecks => 2,
            Difference::BadGateway => 3,
        }));
    }
    assert_eq!(shown, (0..4).collect());
}

fn corpus_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// The files of a directory by name; none where it does not exist.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}
