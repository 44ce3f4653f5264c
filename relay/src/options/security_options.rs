//! The options of TLS: whom the relay trusts, and how it authenticates itself to a server.

use std::path::PathBuf;

use clap::{Args, builder::BoolishValueParser};
use iotcore_gateway_tokio::{Security, Tls};

use super::start_error::StartError;
use crate::{key_file, notes::note};

#[derive(Debug, Args)]
pub(super) struct SecurityOptions {
    /// The CA certificates to trust instead of the system's (PEM)
    #[arg(long, env = "IOTCORE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,

    /// The certificate for a server that demands one of its clients, followed by its intermediate ones (PEM)
    #[arg(
        long,
        env = "IOTCORE_CLIENT_CERT",
        value_name = "FILE",
        requires = "client_key"
    )]
    client_cert: Option<PathBuf>,

    /// The private key of that certificate (PEM)
    #[arg(
        long,
        env = "IOTCORE_CLIENT_KEY",
        value_name = "FILE",
        requires = "client_cert",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    client_key: Option<PathBuf>,

    /// Use TCP without TLS; for loopback addresses only
    #[arg(long, env = "IOTCORE_PLAIN", value_parser = BoolishValueParser::new())]
    pub(super) plain: bool,
}

impl SecurityOptions {
    /// Reads the files, and notes what a user should know of them.
    pub(super) fn security(&self) -> Result<Security, StartError> {
        if self.plain {
            return Ok(Security::PlainOnLoopback);
        }
        let tls = self.trusting()?;
        let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) else {
            return Ok(Security::Tls(tls));
        };
        let tls = tls
            .client_certificate_files(certificate, key)
            .map_err(StartError::ClientCertificate)?;
        key_file::check_mode("--client-key", key);
        Ok(Security::Tls(tls))
    }

    fn trusting(&self) -> Result<Tls, StartError> {
        let Some(file) = &self.ca else {
            return Tls::platform().map_err(|error| StartError::Roots(None, error));
        };
        let tls = Tls::from_pem_file(file)
            .map_err(|error| StartError::Roots(Some(file.clone()), error))?;
        for certificate in tls.unusable_certificates() {
            note(format_args!("--ca {}: {certificate}", file.display()));
        }
        Ok(tls)
    }
}
