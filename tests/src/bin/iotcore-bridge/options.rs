//! The program's options.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgGroup, Parser};
use iotcore_gateway_testkit::Fault;
use iotcore_gateway_testkit::bridge::service::Service;
use iotcore_gateway_testkit::serve::MAX_CONNECTIONS;

/// The default of `--max-connections`.
const DEFAULT_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(MAX_CONNECTIONS).expect("it is not 0");

/// The end of `--help`.
const EXAMPLES: &str = r#"Examples:
  iotcore-bridge --example-registry here --tls-self-signed here --port 8883
      creates a registry, its keys and a CA in the folder `here`, and serves it
  iotcore-bridge --registry registry.json --plain --port 1883 --json
      serves a registry of your own without TLS, and prints JSON for a program
  iotcore-bridge --example-registry here --plain --port 1883 \
      --service "publish=2s lose=10/1000" --fault "rate up 1500"
      is a slow bridge that loses packets, behind a thin link
While it runs, type a command, such as
  config boiler-7 {"target":21}
      sends a device a new config
  drop my-gateway
      ends a connection
  help
      lists all commands, faults and words of --service"#;

/// An emulator of the ClearBlade IoT Core MQTT bridge, for a developer's machine.
///
/// It is not a production server. Type `help` on its standard input for the operator's commands. Exit codes: 0 ended,
/// 1 failed, 2 usage.
#[derive(Parser)]
#[command(name = "iotcore-bridge", version, after_long_help = EXAMPLES)]
#[command(group = ArgGroup::new("source").required(true).args(["registry", "example_registry"]))]
#[command(group = ArgGroup::new("transport").required(true).args(["tls_cert", "tls_self_signed", "plain"]))]
pub(crate) struct Options {
    /// The registry: project, devices, gateways, public keys (JSON)
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) registry: Option<PathBuf>,

    /// Write an example registry with its keys into a folder, unless it has one already, and serve it
    #[arg(long, value_name = "FOLDER", allow_hyphen_values = true)]
    pub(crate) example_registry: Option<PathBuf>,

    /// The port to listen on; 0 for a free one
    #[arg(long)]
    pub(crate) port: u16,

    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,

    /// The server's certificate chain (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        allow_hyphen_values = true
    )]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of the certificate (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        allow_hyphen_values = true
    )]
    pub(crate) tls_key: Option<PathBuf>,

    /// TLS with a certificate signed by a CA that is created in a folder
    ///
    /// The certificate is for localhost, 127.0.0.1, ::1 and --listen. A CA that the folder has already is used again.
    /// Clients have to trust its ca.pem
    #[arg(long, value_name = "FOLDER", allow_hyphen_values = true)]
    pub(crate) tls_self_signed: Option<PathBuf>,

    /// Another host name or address in the certificate of --tls-self-signed; may be repeated
    #[arg(
        long,
        value_name = "NAME",
        requires = "tls_self_signed",
        allow_hyphen_values = true
    )]
    pub(crate) tls_name: Vec<String>,

    /// TCP without TLS
    #[arg(long, conflicts_with = "tls_key")]
    pub(crate) plain: bool,

    /// The maximum number of connections at a time; further ones are closed at once
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_CONNECTIONS)]
    pub(crate) max_connections: NonZeroUsize,

    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,

    /// Change a setting for undocumented behaviour of the service, overriding the registry file; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,

    /// Set how long the bridge takes and what it never answers, overriding the registry file
    ///
    /// Such as "per-kind workers=4 attach=400ms publish=2s tail=1.5:20 lose=10/1000" (type `help` for all words)
    #[arg(long, value_name = "WORDS")]
    pub(crate) service: Option<Service>,

    /// Inject a fault at the start, such as "rate up 1500" (type `help` for all); may be repeated
    #[arg(long, value_name = "FAULT")]
    pub(crate) fault: Vec<Fault>,
}
