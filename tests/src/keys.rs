//! Generates keys and certificates for tests and examples, so that none has to be stored, can leak or can expire.

use core::fmt;
use core::ops::Range;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

/// A device's P-256 key pair, for ES256.
#[derive(Clone)]
pub struct DeviceKey {
    /// PKCS#8 in PEM; signs the device's tokens.
    pub private_pem: String,
    /// SubjectPublicKeyInfo in PEM; goes into the registry.
    pub public_pem: String,
}

/// A certificate authority.
#[derive(Clone)]
pub struct Authority {
    /// Its certificate in PEM, which clients have to trust.
    pub certificate_pem: String,
    /// Its private key, PKCS#8 in PEM.
    pub key_pem: String,
}

/// A server's certificate and key, and the authority that signed the certificate.
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

impl Authority {
    /// Generates an authority, valid in these seconds since 1970, or at any time.
    ///
    /// # Errors
    /// A time after the year 9999, or a system that cannot provide random numbers.
    pub fn generate(validity: Option<Range<u64>>) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut params = Self::params(&key)?;
        limit(&mut params, validity)?;
        Ok(Self {
            certificate_pem: params.self_signed(&key)?.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// Signs a certificate for a server, reached by any of these host names and addresses, valid in these seconds since
    /// 1970, or at any time.
    ///
    /// # Errors
    /// A malformed key, a name that is not ASCII, a time after the year 9999, or a system that cannot provide random
    /// numbers.
    pub fn sign(
        &self,
        names: &[String],
        validity: Option<Range<u64>>,
    ) -> Result<ServerIdentity, Error> {
        let key = KeyPair::from_pem(&self.key_pem)?;
        let issuer = Issuer::new(Self::params(&key)?, key);
        let mut server = CertificateParams::new(names)?;
        name(
            &mut server,
            names.first().map_or("localhost", String::as_str),
        );
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        limit(&mut server, validity)?;
        let key = KeyPair::generate()?;
        Ok(ServerIdentity {
            ca_pem: self.certificate_pem.clone(),
            certificate_pem: server.signed_by(&key, &issuer)?.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// Returns what a certificate says about the authority with this key. The name is that of no other one, because
    /// clients look authorities up by their names.
    fn params(key: &KeyPair) -> Result<CertificateParams, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        let number = key.public_key_raw().iter().skip(1).take(4);
        let number: String = number.map(|byte| format!("{byte:02x}")).collect();
        name(
            &mut params,
            &format!("iotcore-gateway test authority {number}"),
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    }
}

impl ServerIdentity {
    /// Generates an authority and a certificate for `localhost`, `127.0.0.1` and `::1` signed by it.
    ///
    /// # Errors
    /// Fails only if the system cannot provide random numbers.
    pub fn generate() -> Result<Self, Error> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        Authority::generate(None)?.sign(&names, None)
    }
}

fn limit(params: &mut CertificateParams, validity: Option<Range<u64>>) -> Result<(), Error> {
    let date = |unix| {
        let unix = i64::try_from(unix).unwrap_or(i64::MAX);
        OffsetDateTime::from_unix_timestamp(unix).map_err(|_| Error::Time)
    };
    if let Some(Range { start, end }) = validity {
        params.not_before = date(start)?;
        params.not_after = date(end)?;
    }
    Ok(())
}

fn name(params: &mut CertificateParams, name: &str) {
    params.distinguished_name.push(DnType::CommonName, name);
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
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
        let authority = Authority::generate(None).unwrap();
        let identity = authority.sign(&[], None).unwrap();
        let shown = format!("{key:?} {authority:?} {identity:?}");
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }
}
