//! Generates keys and certificates for tests and examples, so that none has to be stored, can leak or can expire.

use core::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

/// A device's P-256 key pair, for ES256.
#[derive(Clone)]
pub struct DeviceKey {
    /// PKCS#8 in PEM; signs the device's tokens.
    pub private_pem: String,
    /// SubjectPublicKeyInfo in PEM; goes into the registry.
    pub public_pem: String,
}

/// A server's certificate for `localhost`, `127.0.0.1` and `::1`, and the authority that signed it.
#[derive(Clone)]
pub struct ServerIdentity {
    /// The authority's certificate in PEM, which clients have to trust.
    pub ca_pem: String,
    /// The server's certificate in PEM.
    pub certificate_pem: String,
    /// The server's private key in PEM.
    pub key_pem: String,
}

impl DeviceKey {
    /// Generates a key pair.
    ///
    /// # Errors
    /// Fails only if the system cannot provide random numbers.
    pub fn generate() -> Result<Self, Error> {
        let pair = KeyPair::generate()?;
        Ok(Self {
            private_pem: pair.serialize_pem(),
            public_pem: pair.public_key_pem(),
        })
    }
}

impl ServerIdentity {
    /// Generates an authority and a certificate signed by it.
    ///
    /// # Errors
    /// Fails only if the system cannot provide random numbers.
    pub fn generate() -> Result<Self, Error> {
        let mut authority = CertificateParams::new(Vec::new())?;
        name(&mut authority, "iotcore-gateway test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate()?;
        let ca_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut server = CertificateParams::new(names)?;
        name(&mut server, "localhost");
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        Ok(Self {
            ca_pem,
            certificate_pem: server.signed_by(&server_key, &issuer)?.pem(),
            key_pem: server_key.serialize_pem(),
        })
    }
}

fn name(params: &mut CertificateParams, name: &str) {
    params.distinguished_name.push(DnType::CommonName, name);
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::auth::{Algorithm, PublicKey};

    #[test]
    fn a_devices_key_is_one_for_es256() {
        let key = DeviceKey::generate().unwrap();
        let public = PublicKey::from_pem(&key.public_pem).unwrap();
        assert_eq!(public.algorithm(), Algorithm::Es256);
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }
}
