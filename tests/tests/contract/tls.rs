//! A certificate for any name, issued by a generated CA.

use std::sync::Arc;

use iotcore_gateway::driver::{Security, Tls};
use iotcore_gateway_testkit::serve::tls;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;

use super::world::Secured;

/// Returns the TLS settings of the server and of the client.
pub(crate) fn secure(secured: &Secured) -> (Option<Arc<ServerConfig>>, Security) {
    match secured {
        Secured::Plain => (None, Security::PlainOnLoopback),
        Secured::For(name) => {
            let (config, ca) = certify(name);
            (Some(config), trusting(&ca))
        }
    }
}

/// Trusts a CA that has not issued the server's certificate.
pub(crate) fn trusting_another() -> Security {
    trusting(&certify("localhost").1)
}

fn trusting(ca: &str) -> Security {
    Security::Tls(Tls::from_pem(ca.as_bytes()).unwrap())
}

/// Returns the server's configuration, and the CA's certificate in PEM.
pub(crate) fn certify(name: &str) -> (Arc<ServerConfig>, String) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let ca = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let server = CertificateParams::new([name.to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = server.signed_by(&key, &issuer).unwrap().pem();
    let config = tls::server_config(&certificate, &key.serialize_pem()).unwrap();
    (config, ca)
}
