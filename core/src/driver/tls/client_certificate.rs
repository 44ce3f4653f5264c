//! The certificate with which a client authenticates itself, and its private key.

use std::sync::Arc;

use rustls::{
    Error, InconsistentKeys,
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer},
    sign::CertifiedKey,
};

use super::{certificates, error::TlsError};
use crate::pem;

/// Reads a certificate chain, the client's own certificate first, and the private key that belongs to it.
pub(super) fn read(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, TlsError> {
    if certificates::is_der(chain) {
        return Err(TlsError::Der);
    }
    if pem::is_utf16(chain) || pem::is_utf16(key) {
        return Err(TlsError::Utf16);
    }
    let chain: Vec<_> = certificates::read(chain)
        .collect::<Result<_, _>>()
        .map_err(TlsError::ClientCertificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoClientCertificate);
    }
    let certified = CertifiedKey::new(chain, read_key(key)?);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(error) => Err(TlsError::ClientKey(error)),
    }
}

/// Reads the first private key that is not damaged, and wipes what it has copied of it.
fn read_key(text: &[u8]) -> Result<Arc<dyn rustls::sign::SigningKey>, TlsError> {
    for section in pem::sections(text) {
        let Ok(der) = section.decode() else {
            continue;
        };
        let key = match section.label {
            b"PRIVATE KEY" => PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der.as_slice())),
            b"RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(der.as_slice()).into(),
            b"EC PRIVATE KEY" => PrivateSec1KeyDer::from(der.as_slice()).into(),
            _ => continue,
        };
        return any_supported_type(&key).map_err(TlsError::ClientKey);
    }
    Err(TlsError::NoClientKey)
}
