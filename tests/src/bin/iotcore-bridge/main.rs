//! The bridge emulator as a program: serves a registry file to any MQTT 3.1.1 client, prints events, and reads the
//! operator's commands from standard input.
#![forbid(unsafe_code)]

mod example;
mod files;
mod input;
mod options;
mod output;
mod secured;
mod self_signed;
mod signals;

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use iotcore_gateway_testkit::bridge::registry::file;
use iotcore_gateway_testkit::bridge::service::Service;
use iotcore_gateway_testkit::serve::terminal::{self, Answer};
use iotcore_gateway_testkit::serve::{Server, ServerOptions};
use iotcore_gateway_testkit::{Registry, Settings};
use serde::Serialize;
use serde_json::json;

use example::Source;
use input::Lines;
use options::Options;
use output::Printer;
use secured::Secured;

/// The number of inputs that are read before they are processed.
const READ_AHEAD: usize = 16;

/// What reaches the program while it serves.
enum Input {
    /// A line of standard input, or what is wrong with it.
    Line(Result<String, String>),
    /// A signal to end, by its name.
    Signal(&'static str),
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "iotcore-bridge: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let (sender, inputs) = mpsc::sync_channel(READ_AHEAD);
    signals::listen(sender.clone()).map_err(|error| format!("cannot handle signals: {error}"))?;
    let printer = Printer::start(options.json)
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    let server = serve(options, &printer)?;
    let lines = sender.clone();
    thread::Builder::new()
        .spawn(move || read_lines(&lines))
        .map_err(|error| format!("cannot read standard input: {error}"))?;
    obey(&server, &printer, &inputs);
    server.shutdown();
    printer.flush();
    // Until here, the inputs do not end with standard input, whatever the system does about signals.
    drop(sender);
    Ok(())
}

/// Starts the server that the options describe, and prints where it listens.
fn serve(options: &Options, printer: &Printer) -> Result<Server, String> {
    let source = Source::open(options)?;
    let (registry, settings, service) = read_registry(source.registry())?;
    let settings = set_all(settings, &options.set)?;
    let service = options.service.clone().unwrap_or(service);
    let secured = Secured::open(options, unix_now())?;
    let server_options = ServerOptions {
        tls: secured.as_ref().map(|secured| Arc::clone(&secured.config)),
        certificate_flaw: secured.as_ref().and_then(|secured| secured.flaw),
        max_connections: options.max_connections.get(),
    };
    let clients = registry.client_id("DEVICE");
    let address = SocketAddr::new(options.listen, options.port);
    let events = printer.clone();
    let server = Server::start_with(registry, settings, address, server_options, move |event| {
        events.print(event, event);
    });
    let server = server.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{address} is in use; give another --port, or 0 for a free one")
        }
        _ => format!("cannot listen on {address}: {error}"),
    })?;
    server.with(|bridge, now| bridge.set_service(service, now));
    for fault in &options.fault {
        let injected = server.with(|bridge, now| bridge.inject(fault.clone(), now));
        injected.map_err(|error| format!("--fault {fault}: {error}"))?;
    }
    if let Some(secured) = &secured {
        secured.print(printer);
    }
    source.print(printer);
    let address = server.local_addr();
    let scheme = secured.as_ref().map_or("TCP without TLS", |_| "TLS");
    printer.print(
        format_args!(
            "listening on {address} ({scheme}) for clients {clients}; type help for commands"
        ),
        &json!({
            "event": "listening",
            "address": address,
            "tls": secured.is_some(),
            "clients": clients,
        }),
    );
    Ok(server)
}

fn set_all(mut settings: Settings, changes: &[String]) -> Result<Settings, String> {
    for setting in changes {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("--set {setting}: expected NAME=VALUE"))?;
        settings
            .set(name, value)
            .map_err(|error| format!("--set {setting}: {error}"))?;
    }
    Ok(settings)
}

/// Reads standard input to its end.
fn read_lines(inputs: &SyncSender<Input>) {
    let mut lines = Lines::new(io::stdin().lock());
    loop {
        let (line, is_last) = match lines.next() {
            Ok(None) => return,
            Ok(Some(line)) => (line, false),
            Err(error) => {
                let error = format!("standard input cannot be read any more: {error}");
                (Err(error), true)
            }
        };
        // The program is already ending if nobody receives it.
        if inputs.send(Input::Line(line)).is_err() || is_last {
            return;
        }
    }
}

/// Executes commands until `quit` or a signal; at the end of standard input, the server keeps running.
fn obey(server: &Server, printer: &Printer, inputs: &Receiver<Input>) {
    for input in inputs {
        let answer = match input {
            Input::Line(Ok(line)) if line.trim().is_empty() => continue,
            Input::Line(Ok(line)) => terminal::run(server, line.trim_start()),
            Input::Line(Err(error)) => Answer::failed(error),
            Input::Signal(signal) => {
                let event = json!({ "event": "ended", "signal": signal });
                printer.print(format_args!("ended by {signal}"), &event);
                return;
            }
        };
        let event = Answered {
            event: "answer",
            answer: &answer,
        };
        printer.print(&answer, &event);
        if matches!(answer, Answer::Quit) {
            return;
        }
    }
}

/// An answer, in the format of an event.
#[derive(Serialize)]
struct Answered<'a> {
    event: &'static str,
    #[serde(flatten)]
    answer: &'a Answer,
}

fn read_registry(path: &Path) -> Result<(Registry, Settings, Service), String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let read = |file: &str| fs::read_to_string(folder.join(file));
    file::parse(&files::read(path)?, read).map_err(|error| format!("{}: {error}", path.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "certificates are valid by the date"
)]
fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
