//! Servers whose signatures, or those of their certificates, cannot be verified, and which key is said to be the reason.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    Error, ServerConfig, SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion,
    crypto::ring::sign::any_supported_type,
    pki_types::PrivatePkcs8KeyDer,
    sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::{
    refused::is_refused,
    server::{Authority, config},
    trusting,
};
use crate::runtime::{
    adapter::{Security, Tls},
    run,
};

/// An RSA key of 1,024 bits. ring makes no signatures with one, so these have its size only.
#[derive(Debug)]
struct SmallRsa(Vec<u8>);

impl SmallRsa {
    fn new() -> Self {
        // An RSAPublicKey: a modulus of 128 bytes, and 65537.
        let mut der = vec![0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00];
        der.extend([0xC1; 128]);
        der.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
        Self(der)
    }
}

impl rcgen::PublicKeyData for SmallRsa {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

impl rcgen::SigningKey for SmallRsa {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(vec![1; 128])
    }
}

impl SigningKey for SmallRsa {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::RSA_PSS_SHA256)
            .then(|| Box::new(Self::new()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for SmallRsa {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(vec![1; 128])
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}

fn server(
    version: &'static SupportedProtocolVersion,
    certificate: &rcgen::Certificate,
    key: Arc<dyn SigningKey>,
) -> Arc<ServerConfig> {
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    let config = config(version).with_no_client_auth();
    Arc::new(config.with_cert_resolver(resolver))
}

fn signing(key: &KeyPair) -> Arc<dyn SigningKey> {
    any_supported_type(&PrivatePkcs8KeyDer::from(key.serialize_der()).into()).unwrap()
}

#[test]
fn an_rsa_key_of_the_server_that_is_too_small_is_told_with_its_size() {
    run(async || {
        let authority = Authority::new("plant");
        for version in [&TLS12, &TLS13] {
            let certificate = authority.certify(&Authority::params("localhost"), &SmallRsa::new());
            let server = server(version, &certificate, Arc::new(SmallRsa::new()));
            let part = "the server's certificate is for an RSA key of 1024 bits, and such keys must have 2048 to 8192";
            is_refused(server, trusting(&authority), &[part]).await;
        }
    });
}

#[test]
fn an_rsa_key_of_the_authority_that_is_too_small_is_told_with_its_size() {
    run(async || {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "plant");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // The trusted one of that name has a larger key: one with this key could not be a root.
        let rsa = include_str!("../../core/tests/keys/rsa-2048.pkcs8.pem");
        let rsa = KeyPair::from_pem_and_sign_algo(rsa, &rcgen::PKCS_RSA_SHA256).unwrap();
        let ca = params.self_signed(&rsa).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::new(params, SmallRsa::new());
        let certificate = Authority::params("localhost").signed_by(&key, &issuer);
        let server = server(&TLS13, &certificate.unwrap(), signing(&key));
        let security = Security::Tls(Tls::from_pem(ca.as_bytes()).unwrap());
        let part = "is signed with an RSA key of 1024 bits, and such keys must have 2048 to 8192: have it issued by a CA";
        is_refused(server, security, &[part]).await;
    });
}

#[test]
fn a_server_with_another_key_than_that_of_its_certificate_is_told_so() {
    run(async || {
        let authority = Authority::new("plant");
        for version in [&TLS12, &TLS13] {
            let key = KeyPair::generate().unwrap();
            let certificate = authority.certify(&Authority::params("localhost"), &key);
            let server = server(
                version,
                &certificate,
                signing(&KeyPair::generate().unwrap()),
            );
            let part =
                "the server's private key is not the one of its certificate: give the server";
            is_refused(server, trusting(&authority), &[part]).await;
        }
    });
}
