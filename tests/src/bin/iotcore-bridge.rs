//! The bridge emulator as a program: serves a registry file to any MQTT 3.1.1 client, prints events, and reads the
//! operator's commands from standard input.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, BufRead, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgGroup, Parser};
use iotcore_gateway_testkit::bridge::registry::file;
use iotcore_gateway_testkit::bridge::service::Service;
use iotcore_gateway_testkit::serve::terminal::{self, Answer};
use iotcore_gateway_testkit::serve::{Server, tls};
use iotcore_gateway_testkit::{Fault, Registry, Settings};
use rustls::ServerConfig;
use serde::Serialize;
use serde_json::json;

/// An emulator of the ClearBlade IoT Core MQTT bridge, for a developer's machine.
///
/// It is not a production server. Type `help` on its standard input for the operator's commands.
#[derive(Parser)]
#[command(name = "iotcore-bridge")]
#[command(group = ArgGroup::new("transport").required(true).args(["tls_cert", "plain"]))]
struct Options {
    /// The registry: project, devices, gateways, public keys (JSON)
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,

    /// The port to listen on; 0 for a free one
    #[arg(long)]
    port: u16,

    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    listen: IpAddr,

    /// The server's certificate chain (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        required_unless_present = "plain"
    )]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        allow_hyphen_values = true
    )]
    tls_key: Option<PathBuf>,

    /// TCP without TLS
    #[arg(long, conflicts_with = "tls_key")]
    plain: bool,

    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    /// Change a setting for undocumented behaviour of the service, overriding the registry file; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// Set how long the bridge takes and what it never answers, overriding the registry file; such as
    /// "per-kind workers=4 attach=400ms publish=2s tail=1.5:20 lose=10/1000" (type `help` for all words)
    #[arg(long, value_name = "WORDS")]
    service: Option<Service>,

    /// Inject a fault at the start, such as "rate up 1500" (type `help` for all); may be repeated
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
}

/// Prints text for people or JSON for programs.
#[derive(Clone, Copy)]
struct Printer {
    json: bool,
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
    let (registry, mut settings, service) = read_registry(&options.registry)?;
    let service = options.service.clone().unwrap_or(service);
    for setting in &options.set {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("--set {setting}: expected NAME=VALUE"))?;
        settings
            .set(name, value)
            .map_err(|error| format!("--set {setting}: {error}"))?;
    }
    let tls = read_tls(options)?;
    let scheme = if tls.is_some() {
        "TLS"
    } else {
        "TCP without TLS"
    };
    let clients = registry.client_id("DEVICE");
    let printer = Printer { json: options.json };
    let address = SocketAddr::new(options.listen, options.port);
    let server = Server::start(registry, settings, address, tls, move |event| {
        printer.print(event, event);
    });
    let server = server.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{address} is in use; give another --port, or 0 for a free one")
        }
        _ => format!("cannot listen on {address}: {error}"),
    })?;
    let address = server.local_addr();
    server.with(|bridge, now| bridge.set_service(service, now));
    for fault in &options.fault {
        let injected = server.with(|bridge, now| bridge.inject(fault.clone(), now));
        injected.map_err(|error| format!("--fault {fault}: {error}"))?;
    }
    printer.print(
        format_args!(
            "listening on {address} ({scheme}) for clients {clients}; type help for commands"
        ),
        &json!({
            "event": "listening",
            "address": address,
            "tls": scheme == "TLS",
            "clients": clients,
        }),
    );
    obey(&server, printer);
    server.shutdown();
    Ok(())
}

/// Executes commands from standard input until `quit`; at the end of the input, the server keeps running.
fn obey(server: &Server, printer: Printer) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else {
            break;
        };
        if line.trim().is_empty() {
            continue;
        }
        let answer = terminal::run(server, line.trim_start());
        printer.print(
            &answer,
            &Answered {
                event: "answer",
                answer: &answer,
            },
        );
        if matches!(answer, Answer::Quit) {
            return;
        }
    }
    loop {
        std::thread::park();
    }
}

/// An answer, in the format of an event.
#[derive(Serialize)]
struct Answered<'a> {
    event: &'static str,
    #[serde(flatten)]
    answer: &'a Answer,
}

impl Printer {
    /// Prints a line. A closed output must not stop the server.
    fn print(self, text: impl std::fmt::Display, json: &impl Serialize) {
        let line = match self.json {
            true => serde_json::to_string(json).unwrap_or_else(|error| error.to_string()),
            false => text.to_string(),
        };
        let _ = writeln!(io::stdout().lock(), "{line}");
    }
}

fn read_registry(path: &Path) -> Result<(Registry, Settings, Service), String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let read = |file: &str| fs::read_to_string(folder.join(file));
    file::parse(&read_file(path)?, read).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_tls(options: &Options) -> Result<Option<Arc<ServerConfig>>, String> {
    let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) else {
        return Ok(None);
    };
    let config = tls::server_config(&read_file(certificate)?, &read_file(key)?);
    config
        .map(Some)
        .map_err(|error| format!("{} and {}: {error}", certificate.display(), key.display()))
}

fn read_file(path: &Path) -> Result<String, String> {
    if path.to_string_lossy().contains("-----") {
        return Err("a PEM text was given, and must be the name of its file".to_owned());
    }
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
