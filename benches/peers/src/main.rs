//! Echo and room servers on other crates, for `benches/peers/run`: `frameloop-peers PEER echo|room`.
//!
//! Each is built as its crate recommends for speed, on one thread, with TCP_NODELAY. It listens on a free port, which
//! it prints. A room sends each text to all others, whatever it says.

mod mio_tungstenite;
mod on_fastwebsockets;
mod on_tokio_tungstenite;
mod room;

use std::net::SocketAddr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [peer, mode @ ("echo" | "room")] => match peer {
            "tungstenite" => mio_tungstenite::serve(mode == "room"),
            "tokio-tungstenite" => on_tokio_tungstenite::serve(mode == "room"),
            "fastwebsockets" => on_fastwebsockets::serve(mode == "room"),
            _ => usage(),
        },
        _ => usage(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("frameloop-peers {}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn usage() -> std::io::Result<()> {
    Err(std::io::Error::other("the arguments are tungstenite, tokio-tungstenite or fastwebsockets, and echo or room"))
}

/// The line that `run` waits for, the same as frameloop's.
fn announce(address: SocketAddr) {
    println!("listening on ws://{address}/");
}

/// Any free port.
const ADDRESS: &str = "127.0.0.1:0";

/// Of tungstenite's read buffer, which it clears before each read. The default of 128 KiB doubles the cost of a small
/// message, 8 KiB that of a large one; this is within 10 % of the better for both.
const READ_BUFFER_BYTES: usize = 32 * 1024;
