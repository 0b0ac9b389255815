//! The README never disagrees with the program.

use std::process::Command;

#[test]
fn the_readme_shows_what_help_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_frameloop")).arg("--help").output().expect("the binary starts");
    let help = String::from_utf8(output.stdout).expect("text");
    let block = format!("```text\n$ frameloop --help\n{help}```\n");
    assert!(include_str!("../README.md").contains(&block), "copy the output of --help into the README");
}

#[test]
fn the_readme_lists_each_close_code_of_ours() {
    use frameloop::protocol::{CloseCode, End, ProtocolError};
    let readme = include_str!("../README.md");
    let ends = [
        End::ClosedByUs(CloseCode::GOING_AWAY),
        End::ClosedByUs(CloseCode::UNSUPPORTED_DATA),
        End::ClosedByUs(CloseCode::INTERNAL_ERROR),
        End::Failed(ProtocolError::UnmaskedFrame),
        End::Failed(ProtocolError::InvalidUtf8),
        End::Failed(ProtocolError::TooManyFrames(1)),
        End::QueueFull(CloseCode::TRY_AGAIN_LATER),
        End::SlowReader(CloseCode::TRY_AGAIN_LATER),
        End::HeartbeatTimeout,
    ];
    for end in ends {
        let code = end.close_code().expect("each of them has one");
        let row = format!("\n| {code} | `{}` |", end.word());
        assert!(readme.contains(&row), "the README lacks {row}");
    }
}
