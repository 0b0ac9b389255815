//! The binary: flags to a configuration, the logger, and a server that runs until it is stopped. Or the load test.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod application;
mod bench;
mod cli;
mod folder;
mod logger;

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use frameloop::chat::web::Site;
use frameloop::chat::{Echo, Hub};
use frameloop::server::Server;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::application::{Application, Serve};
use crate::cli::{Command, Mode, Options, Pages};
use crate::folder::Folder;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(cli::HELP),
        Ok(Command::Version) => print(concat!("frameloop ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Command::Run(options)) => start(*options),
        Ok(Command::Bench(args)) => bench::main(args),
        Err(problem) => {
            complain(&problem);
            ExitCode::from(2)
        }
    }
}

fn start(mut options: Options) -> ExitCode {
    let open_files = rlimit::increase_nofile_limit(u64::MAX).map_or(usize::MAX, |limit| limit as usize);
    if !options.has_max_connections {
        let reserved = RESERVED_DESCRIPTORS.min(open_files / 2);
        options.config.connections_max = (open_files - reserved).max(1);
    }
    let logger = match logger::start(options.log_level) {
        Ok(logger) => logger,
        Err(error) => return fail(&format!("cannot start the log: {error}")),
    };
    let result = match options.mode {
        Mode::Serve => {
            options.config.subprotocols = vec![Hub::SUBPROTOCOL.to_owned()];
            options.config.unsent_bytes_max = Some(Hub::UNSENT_BYTES_MAX);
            serve(&options, open_files)
        }
        Mode::Echo => run(&options, open_files, Application::Echo(Echo)),
    };
    logger.finish();
    result.map_or_else(|problem| fail(&problem), |()| ExitCode::SUCCESS)
}

fn serve(options: &Options, open_files: usize) -> Result<(), String> {
    let (site, folder) = match &options.pages {
        Pages::Demo => (Site::demo(), None),
        Pages::None => (Site::client_only(), None),
        Pages::Folder(path) => {
            let folder = Folder::open(path).map_err(|error| format!("--static: '{}': {error}", path.display()))?;
            (Site::client_only(), Some(folder))
        }
    };
    let hub = Hub::new(options.hub.clone());
    run(options, open_files, Application::Serve(Box::new(Serve { hub, site, folder })))
}

fn run(options: &Options, open_files: usize, app: Application) -> Result<(), String> {
    let server = Server::bind(&options.config, app).map_err(|error| error.to_string())?;
    for signal in [SIGTERM, SIGINT] {
        let registered =
            server.stopper().and_then(|stopper| signal_hook::low_level::pipe::register(signal, OwnedFd::from(stopper)));
        registered.map_err(|error| format!("cannot listen to signals: {error}"))?;
    }
    if options.config.connections_max > open_files.saturating_sub(RESERVED_DESCRIPTORS) {
        log::warn!(
            "up to {} connections are allowed, but the limit of open files is {}: beyond it new ones get 503",
            options.config.connections_max,
            open_files
        );
    }
    let open = if options.config.origins.is_any() { &[cli::network::ANY_PAGE][..] } else { &[] };
    if let Some(line) = cli::network::openness(server.addresses(), open) {
        log::warn!("{line}");
    }
    for address in server.addresses() {
        print(&format!("listening on ws://{address}/\n"));
    }
    server.run().map_err(|error| error.to_string())
}

/// A closed standard output is no reason to stop.
fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    ExitCode::SUCCESS
}

fn fail(problem: &str) -> ExitCode {
    complain(problem);
    ExitCode::FAILURE
}

fn complain(problem: &str) {
    // One line, whatever the arguments hold.
    let line: String = problem.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(std::io::stderr(), "frameloop: {line}");
}

/// Open files that are no connections: standard streams, listeners, the poll, and peers that are being refused.
const RESERVED_DESCRIPTORS: usize = 64;
