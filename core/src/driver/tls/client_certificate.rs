//! The certificate with which a client authenticates itself, and its private key.

use std::sync::Arc;

use rustls::{Error, InconsistentKeys, crypto::ring::sign::any_supported_type, sign::CertifiedKey};

use super::{certificates, client_key, error::TlsError};
use crate::{
    pem,
    private_key::{self, KeyError},
};

/// Reads a certificate chain, the client's own certificate first, and the private key that belongs to it.
pub(super) fn read(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, TlsError> {
    if certificates::is_der(chain) {
        return Err(TlsError::Der);
    }
    if pem::is_utf16(chain) {
        return Err(TlsError::Utf16);
    }
    let chain: Vec<_> = certificates::read(chain)
        .collect::<Result<_, _>>()
        .map_err(TlsError::ClientCertificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoClientCertificate);
    }
    let mut certified = CertifiedKey::new(chain, read_key(key)?);
    let Err(error) = matches(&certified) else {
        return Ok(Arc::new(certified));
    };
    for position in 2..=certified.cert.len() {
        certified.cert.swap(0, position - 1);
        if matches(&certified).is_ok() {
            return Err(TlsError::ClientCertificateOrder(position));
        }
    }
    Err(TlsError::ClientKey(error))
}

/// Returns whether the key belongs to the first certificate, as far as that is known.
fn matches(certified: &CertifiedKey) -> Result<(), Error> {
    match certified.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        matches => matches,
    }
}

/// Reads the first private key that is not damaged, and wipes what it has copied of it.
fn read_key(text: &[u8]) -> Result<Arc<dyn rustls::sign::SigningKey>, TlsError> {
    let der = private_key::decode(text).map_err(TlsError::NoClientKey)?;
    let der = client_key::normalized(&der).unwrap_or(der);
    let key = client_key::container(&der).ok_or_else(|| {
        TlsError::NoClientKey(KeyError::Malformed("not the DER of a private key".into()))
    })?;
    any_supported_type(&key).map_err(TlsError::ClientKey)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::tls::Tls;

    const CERTIFICATE: &str = include_str!("../../../tests/keys/p256.zero.certificate.pem");
    const OTHER: &str = include_str!("../../../tests/keys/certificate.pem");
    const SHORT: &str = include_str!("../../../tests/keys/p256.short.sec1.pem");

    #[test]
    fn keys_that_sign_tokens_belong_to_client_certificates_as_well() {
        let under_other_label = SHORT.replace("EC PRIVATE", "PRIVATE");
        let behind_certificate = format!("{}{SHORT}", CERTIFICATE.trim_end());
        for key in [
            SHORT,
            &under_other_label,
            &behind_certificate,
            include_str!("../../../tests/keys/p256.short.pkcs8.pem"),
            include_str!("../../../tests/keys/p256.long.sec1.pem"),
        ] {
            let read = read(CERTIFICATE.as_bytes(), key.as_bytes());
            assert!(read.is_ok(), "{}", read.unwrap_err());
        }
        for key in [
            include_str!("../../../tests/keys/p256.hybrid.pem"),
            include_str!("../../../tests/keys/p256.explicit.pem"),
            include_str!("../../../tests/keys/secp384r1.pem"),
            include_str!("../../../tests/keys/ed25519.pem"),
            include_str!("../../../tests/keys/rsa-2048.pkcs1.pem"),
        ] {
            let key = read_key(key.as_bytes());
            assert!(key.is_ok(), "{}", key.unwrap_err());
        }
    }

    #[test]
    fn a_chain_in_another_order_is_told_with_the_place_of_the_client_s_own() {
        let chain = format!("{OTHER}{OTHER}{CERTIFICATE}");
        let error = read(chain.as_bytes(), SHORT.as_bytes()).unwrap_err();
        let shown = "the client's private key belongs to certificate 3 of its chain: put that first, then its";
        assert!(error.to_string().starts_with(shown), "{error}");
    }

    #[test]
    fn a_key_without_its_public_half_is_refused_with_what_converts_it() {
        for key in [
            include_str!("../../../tests/keys/p256.no-public.pem"),
            include_str!("../../../tests/keys/p256.compressed.pem"),
        ] {
            let error = read_key(key.as_bytes()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("openssl ec -conv_form uncompressed"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_client_certificate_that_cannot_be_used_is_told_with_its_defect() {
        let key = include_str!("../../../tests/keys/p256.pkcs8.pem");
        for (chain, key, part) in [
            ("", key, "no certificate in the client's certificate file"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
                key,
                "the client's certificate file: certificate 1 cannot be used",
            ),
            (
                CERTIFICATE,
                "",
                "no key in the client's key file: the key is empty; use a private key as PEM text",
            ),
            (
                CERTIFICATE,
                CERTIFICATE,
                "this is a certificate, which contains only a public key; use the private key",
            ),
            (
                CERTIFICATE,
                &key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
                "the private key is encrypted; decrypt it with `openssl pkey",
            ),
            (
                CERTIFICATE,
                include_str!("../../../tests/keys/openssh.pem"),
                "OpenSSH's own form; if it is RSA or on P-256, convert a copy",
            ),
            (
                CERTIFICATE,
                &key.replace('\n', "\\n"),
                "the line breaks of the PEM text are written as \\n",
            ),
            (
                CERTIFICATE,
                &key[..100],
                "no -----END line that matches its -----BEGIN line",
            ),
            (OTHER, key, "is not the one of its certificate"),
            (
                CERTIFICATE,
                &format!("{}AAAA\n{}", &key[..28], &key[key.len() - 26..]),
                "the private key is malformed or damaged",
            ),
            ("\u{feff}", key, "no certificate in the client's"),
        ] {
            let tls = Tls::from_pem(OTHER.as_bytes()).unwrap();
            let error = tls
                .client_certificate(chain.as_bytes(), key.as_bytes())
                .unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        for (key, part) in [
            (
                &include_bytes!("../../../tests/keys/rsa-2048.der")[..],
                "the key is DER, not PEM; convert it",
            ),
            (
                include_bytes!("../../../tests/keys/p256.p12"),
                "in PKCS#12, not PEM; convert it",
            ),
            (&[0xFF, 0xFE, b'-', 0], "text in UTF-16; save it"),
        ] {
            let error = read(CERTIFICATE.as_bytes(), key).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let tls = Tls::from_pem(OTHER.as_bytes()).unwrap();
        let error = tls
            .client_certificate_files("no/such.pem", "no/such.key.pem")
            .unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such.pem");
    }
}
