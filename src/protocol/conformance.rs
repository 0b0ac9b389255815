#![doc = include_str!("conformance.md")]
// Documentation and nothing else. Change the page where it is made: tests/rfc6455/requirements.tsv and page.rs.
