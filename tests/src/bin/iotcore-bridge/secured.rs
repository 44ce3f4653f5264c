//! TLS, with the operator's certificate or one of the program's own.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use iotcore_gateway_testkit::serve::tls::{self, CertificateFlaw};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use serde_json::json;

use crate::files;
use crate::options::Options;
use crate::output::Printer;
use crate::self_signed::SelfSigned;

/// What a server needs for TLS.
pub(crate) struct Secured {
    pub(crate) config: Arc<ServerConfig>,
    /// What is wrong with the operator's certificate.
    pub(crate) flaw: Option<CertificateFlaw>,
    /// The certificate of the program's own CA, and whether it was created now.
    ca: Option<(PathBuf, bool)>,
}

impl Secured {
    /// Reads or makes the certificate that the options ask for, if they do.
    ///
    /// # Errors
    /// A file, certificate or key that cannot be used.
    pub(crate) fn open(options: &Options, unix_now: u64) -> Result<Option<Self>, String> {
        if let Some(folder) = &options.tls_self_signed {
            return Self::sign(folder, &names(options)?, unix_now).map(Some);
        }
        match (&options.tls_cert, &options.tls_key) {
            (Some(certificate), Some(key)) => Self::read(certificate, key, unix_now).map(Some),
            _ => Ok(None),
        }
    }

    fn read(certificate: &Path, key: &Path, unix_now: u64) -> Result<Self, String> {
        let (certificate_pem, key_pem) = (files::read(certificate)?, files::read(key)?);
        let config = tls::server_config(&certificate_pem, &key_pem)
            .map_err(|error| format!("{} and {}: {error}", certificate.display(), key.display()))?;
        let flaw = CertificateFlaw::of(&certificate_pem, unix_now);
        if let Some(flaw) = flaw {
            let certificate = certificate.display();
            let _ = writeln!(
                io::stderr(),
                "iotcore-bridge: warning: the certificate {certificate} {flaw}"
            );
        }
        Ok(Self {
            config,
            flaw,
            ca: None,
        })
    }

    fn sign(folder: &Path, names: &[String], unix_now: u64) -> Result<Self, String> {
        let signed = SelfSigned::create(folder, names, unix_now)?;
        let identity = &signed.identity;
        let config = tls::server_config(&identity.certificate_pem, &identity.key_pem)
            .map_err(|error| format!("--tls-self-signed: {error}"))?;
        Ok(Self {
            config,
            flaw: None,
            ca: Some((signed.ca, signed.is_new)),
        })
    }

    /// Prints which certificate clients have to trust, if it is the program's own.
    pub(crate) fn print(&self, printer: &Printer) {
        if let Some((ca, is_new)) = &self.ca {
            let found = if *is_new { "created" } else { "used again" };
            printer.print(
                format_args!(
                    "the CA {} is {found}: clients have to trust it",
                    ca.display()
                ),
                &json!({ "event": "ca", "certificate": ca, "new": is_new }),
            );
        }
    }
}

/// Returns the host names and addresses for which a certificate is made.
fn names(options: &Options) -> Result<Vec<String>, String> {
    let mut names = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    let listen = Some(options.listen).filter(|listen| !IpAddr::is_unspecified(listen));
    names.extend(listen.map(|listen| listen.to_string()));
    for name in &options.tls_name {
        files::check_name(name)?;
        ServerName::try_from(name.as_str())
            .map_err(|_| format!("--tls-name {name}: neither a host name nor an address"))?;
        names.push(name.clone());
    }
    let mut seen = Vec::new();
    names.retain(|name| {
        let is_new = !seen.contains(name);
        seen.push(name.clone());
        is_new
    });
    Ok(names)
}
