//! RFC 6455 line by line: `requirements.tsv` has a row for each normative sentence of §3 to §10, and each row that binds
//! a server names the tests here that show that it is kept. `table` checks that nothing is missing on either side, and
//! makes the page [`frameloop::protocol::conformance`] of the table.
//!
//! | file | what |
//! |---|---|
//! | `requirements.tsv` | the rules |
//! | `table`, `page` | the checks of the table; the page that is made of it |
//! | `driver` | a connection with its clock and its socket, for most tests |
//! | `request` | request heads with a line changed, and their answers, for §4 and §9 |
//! | `section_5_4` and so on | the tests of that section; one of §5.5.1 stands in `section_5_5` |

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../server/client.rs"]
mod client;
#[allow(dead_code)]
mod driver;
#[path = "../tls/files.rs"]
#[allow(dead_code)]
mod files;
#[allow(dead_code)]
#[path = "../server/harness.rs"]
mod harness;
mod page;
mod request;
mod section_10;
mod section_3;
mod section_4_1;
mod section_4_2;
mod section_4_4;
mod section_5_1;
mod section_5_2;
mod section_5_3;
mod section_5_4;
mod section_5_5;
mod section_5_6;
mod section_5_7;
mod section_5_8;
mod section_6;
mod section_7;
mod section_8;
mod section_9;
#[allow(dead_code)]
#[path = "../server/stream.rs"]
mod stream;
mod table;
#[allow(dead_code)]
#[path = "../wire/mod.rs"]
mod wire;
