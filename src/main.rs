//! The `cistern` program: parses the command line, runs the verb, ends with its exit code.

use std::process::ExitCode;

use cistern::cli;
use cistern::config::Surroundings;

fn main() -> ExitCode {
    // Before anything can open a TLS connection; a second provider is never installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match cli::Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cistern: could not start: {error}");
            return ExitCode::from(cli::Exit::CouldNotRun.code());
        }
    };
    let exit = runtime.block_on(cli::run(cli, &Surroundings::of_process()));
    cistern::telemetry::close();
    // Whatever blocks (a name that does not resolve) does not hold the end up.
    runtime.shutdown_background();
    ExitCode::from(exit.code())
}
