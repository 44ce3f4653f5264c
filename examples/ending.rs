//! Converts the result of an example or a benchmark to an exit code.

use std::{
    error::Error,
    io::{self, Write},
    iter::successors,
    process::ExitCode,
};

/// Returns the program's exit code. Prints an error to standard error with its causes, each once.
pub(crate) fn ending(result: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let causes = successors(error.source(), |&error| error.source());
    let told = causes.fold(error.to_string(), |told, cause| match cause.to_string() {
        cause if told.contains(&cause) => told,
        cause => format!("{told}: {cause}"),
    });
    let _ = writeln!(io::stderr(), "\n  Failed: {told}");
    ExitCode::FAILURE
}
