//! Whom a TLS client trusts, and how it authenticates itself.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
    pki_types::CertificateDer,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_platform_verifier::Verifier;
use zeroize::Zeroizing;

use super::{
    certificates::{self, UnusableCertificate},
    client_certificate,
    error::TlsError,
    verifier::Diagnosing,
};
use crate::{driver::secret_file, pem};

/// TLS 1.2 or 1.3 with a server whose certificate is always verified, against these roots and the host's name. Only with
/// `from_client_config` (feature `rustls`), the versions and the verification are those of the given configuration.
///
/// A root counts as long as it is listed: its own dates are not looked at, so a CA is no longer trusted once it is taken out.
///
/// ```no_run
/// # use iotcore_gateway::driver::Tls;
/// # fn main() -> Result<(), iotcore_gateway::driver::tls::TlsError> {
/// let tls = Tls::platform()?
///     .trust_pem_file("company-ca.pem")?
///     .client_certificate_files("client.pem", "client.key.pem")?;
/// for certificate in tls.unusable_certificates() {
///     eprintln!("company-ca.pem: {certificate}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tls {
    pub(super) config: Arc<ClientConfig>,
    roots: Roots,
    client: Option<Arc<CertifiedKey>>,
    unusable: Vec<UnusableCertificate>,
}

/// Whom a client trusts.
#[derive(Clone, Debug)]
enum Roots {
    /// What the operating system trusts, and these.
    Platform(Vec<CertificateDer<'static>>),
    /// Only these.
    Only(Vec<CertificateDer<'static>>),
    /// What the verifier of this configuration trusts.
    #[cfg(feature = "rustls")]
    Verifier(Arc<ClientConfig>),
}

impl Tls {
    /// Trusts what the operating system trusts.
    ///
    /// # Errors
    ///
    /// [`TlsError::Platform`] if it has no roots: install its package of CA certificates, or give a PEM file.
    pub fn platform() -> Result<Self, TlsError> {
        Self::new(Roots::Platform(Vec::new()), None, Vec::new())
    }

    /// Trusts the certificates in this PEM text, and nothing else. Those that cannot be used are left out, and
    /// [`unusable_certificates`](Self::unusable_certificates) returns them.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if no certificate in it can be used.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let (roots, unusable) = read_roots(pem)?;
        Self::new(Roots::Only(roots), None, unusable)
    }

    /// Trusts the certificates in this PEM file, as [`from_pem`](Self::from_pem) does. Reads it at once.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if the file cannot be read, or those of [`from_pem`](Self::from_pem).
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        Self::from_pem(&read_file(path.as_ref())?)
    }

    /// Uses this configuration as it is, with its own verifier (feature `rustls`). It ties the caller to the major version of
    /// rustls that this crate uses, [`rustls`]; updating that is a breaking change, with a new version of this crate.
    ///
    /// The gateway's token is sent to whomever the verifier accepts.
    #[cfg(feature = "rustls")]
    pub fn from_client_config(config: impl Into<Arc<ClientConfig>>) -> Self {
        let config = config.into();
        Self {
            config: Arc::clone(&config),
            roots: Roots::Verifier(config),
            client: None,
            unusable: Vec::new(),
        }
    }

    /// Trusts the certificates in this PEM text as well, and leaves out those that cannot be used, as
    /// [`from_pem`](Self::from_pem) does.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if no certificate in it can be used, and on Android, where the platform accepts no others.
    pub fn trust_pem(mut self, pem: &[u8]) -> Result<Self, TlsError> {
        let (mut more, mut unusable) = read_roots(pem)?;
        match &mut self.roots {
            Roots::Platform(roots) | Roots::Only(roots) => roots.append(&mut more),
            #[cfg(feature = "rustls")]
            Roots::Verifier(_) => return Err(TlsError::OwnVerifier),
        }
        self.unusable.append(&mut unusable);
        Self::new(self.roots, self.client, self.unusable)
    }

    /// Trusts the certificates in this PEM file as well. Reads it at once.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if the file cannot be read, or those of [`trust_pem`](Self::trust_pem).
    pub fn trust_pem_file(self, path: impl AsRef<Path>) -> Result<Self, TlsError> {
        self.trust_pem(&read_file(path.as_ref())?)
    }

    /// Authenticates the client with a certificate, to servers that ask for one: `chain` is PEM text with it, then with its
    /// intermediate certificates; `key` is PEM text with its private key, which is wiped where it was copied.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if one of them cannot be read, or they do not belong together.
    pub fn client_certificate(self, chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let client = client_certificate::read(chain, key)?;
        Self::new(self.roots, Some(client), self.unusable)
    }

    /// Authenticates the client with a certificate, as [`client_certificate`](Self::client_certificate) does, from two files.
    /// Reads them at once.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if a file cannot be read, or those of [`client_certificate`](Self::client_certificate).
    pub fn client_certificate_files(
        self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let (chain, key) = (read_file(chain.as_ref())?, read_file(key.as_ref())?);
        self.client_certificate(&chain, &key)
    }

    /// Returns the certificates that were to be trusted and cannot be used. Tell the user of each: a server whose CA is
    /// among them is refused.
    pub fn unusable_certificates(&self) -> &[UnusableCertificate] {
        &self.unusable
    }

    fn new(
        roots: Roots,
        client: Option<Arc<CertifiedKey>>,
        unusable: Vec<UnusableCertificate>,
    ) -> Result<Self, TlsError> {
        let mut config = match &roots {
            Roots::Platform(more) => trusting(Arc::new(platform_verifier(more)?))?,
            Roots::Only(roots) => trusting(verifier(roots)?)?,
            #[cfg(feature = "rustls")]
            Roots::Verifier(config) => ClientConfig::clone(config),
        };
        if let Some(client) = &client {
            let client = SingleCertAndKey::from(Arc::clone(client));
            config.client_auth_cert_resolver = Arc::new(client);
        }
        Ok(Self {
            config: Arc::new(config),
            roots,
            client,
            unusable,
        })
    }
}

/// Returns a configuration with this verifier. Names the ring provider, so that no other one in the process can take its
/// place.
fn trusting(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(builder
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Platform)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Diagnosing(verifier)))
        .with_no_client_auth())
}

/// Returns a verifier that trusts these, of which there is at least one.
fn verifier(roots: &[CertificateDer<'static>]) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let provider = Arc::new(ring::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|_no_roots| TlsError::NoCertificate)
}

/// Returns a verifier that trusts what the operating system trusts, and these.
fn platform_verifier(more: &[CertificateDer<'static>]) -> Result<Verifier, TlsError> {
    let provider = Arc::new(ring::default_provider());
    #[cfg(not(target_os = "android"))]
    let verifier = Verifier::new_with_extra_roots(more.iter().cloned(), provider);
    #[cfg(target_os = "android")]
    let verifier = match more {
        [] => Verifier::new(provider),
        _ => Err(rustls::Error::General(
            "Android takes no other roots".into(),
        )),
    };
    verifier.map_err(TlsError::Platform)
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    secret_file::read(path).map_err(|error| TlsError::File(secret_file::shown(path), error))
}

/// Returns the certificates in a PEM text that can be used, at least one, and those that cannot.
fn read_roots(
    text: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, Vec<UnusableCertificate>), TlsError> {
    if pem::is_utf16(text) {
        return Err(TlsError::Utf16);
    }
    let (mut roots, mut unusable) = (Vec::new(), Vec::new());
    for certificate in certificates::read_roots(text) {
        match certificate {
            Ok(certificate) => roots.push(certificate),
            Err(problem) => unusable.push(problem),
        }
    }
    match (roots.is_empty(), unusable.is_empty()) {
        (true, true) if certificates::is_der(text) => Err(TlsError::Der),
        (true, true) => Err(TlsError::NoCertificate),
        (true, false) => Err(TlsError::NoneUsable(unusable)),
        (false, _) => Ok((roots, unusable)),
    }
}

#[cfg(test)]
mod tests;
