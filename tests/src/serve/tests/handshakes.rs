//! TLS handshakes that fail, explained on the server's side.

use core::ops::Range;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::keys::Authority;
use tls::CertificateFlaw;

/// A time, in seconds since 1970.
const NOW: u64 = 1_700_000_000;

/// Signs a certificate for `localhost`.
fn signed(authority: &Authority, validity: Option<Range<u64>>) -> ServerIdentity {
    authority.sign(&["localhost".to_owned()], validity).unwrap()
}

/// Creates an authority that has the name of others.
fn namesake() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "plant");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}

/// Lets a client that trusts `ca_pem` connect to `name`, and returns the reason that the server reports for the failure.
fn failure(identity: &ServerIdentity, ca_pem: &str, name: &'static str) -> String {
    let tls = tls::server_config(&identity.certificate_pem, &identity.key_pem).unwrap();
    let served = Served::start(Some(tls));
    let trusting = ServerIdentity {
        ca_pem: ca_pem.to_owned(),
        ..identity.clone()
    };
    let mut client = tls_client(&trusting, name);
    let mut stream = served.stream();
    let refused = loop {
        if let Err(error) = client.complete_io(&mut stream) {
            break error;
        }
        assert!(
            client.is_handshaking(),
            "the client accepts the certificate"
        );
    };
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    while !served.has_event(&["FAILED"]) {
        thread::yield_now();
    }
    served.events.lock().unwrap().concat()
}

#[test]
fn a_client_that_refuses_the_certificate_is_explained() {
    let authority = Authority::generate(None).unwrap();
    let other = Authority::generate(None).unwrap();
    let good = signed(&authority, None);
    let expired = signed(&authority, Some(1..2));
    for (identity, ca, name, words) in [
        (
            &good,
            &other,
            "localhost",
            "does not trust the CA that signed this server's certificate: give it",
        ),
        (
            &good,
            &authority,
            "elsewhere",
            "does not contain the host name to which the client connected",
        ),
        (
            &expired,
            &authority,
            "localhost",
            "by its clock, this server's certificate has expired",
        ),
    ] {
        let reason = failure(identity, &ca.certificate_pem, name);
        assert!(
            reason.contains("the client ended the TLS handshake (alert "),
            "{reason}"
        );
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[test]
fn a_client_that_trusts_another_ca_of_the_same_name_is_explained() {
    let (_, issuer) = namesake();
    let (trusted_pem, _) = namesake();
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned()];
    let server = CertificateParams::new(names).unwrap();
    let identity = ServerIdentity {
        ca_pem: trusted_pem.clone(),
        certificate_pem: server.signed_by(&key, &issuer).unwrap().pem(),
        key_pem: key.serialize_pem(),
    };
    let reason = failure(&identity, &trusted_pem, "localhost");
    let words = "most often because it trusts another CA of the same name";
    assert!(reason.contains(words), "{reason}");
}

#[test]
fn a_client_that_leaves_during_the_handshake_is_explained() {
    let identity = ServerIdentity::generate().unwrap();
    let tls = tls::server_config(&identity.certificate_pem, &identity.key_pem).unwrap();
    let served = Served::start(Some(tls));
    drop(served.stream());
    while !served.has_event(&["FAILED", "closed the connection without saying why"]) {
        thread::yield_now();
    }
}

#[test]
fn the_flaw_of_a_certificate_is_found() {
    let authority = Authority::generate(None).unwrap();
    let flaw = |pem: &str| CertificateFlaw::of(pem, NOW);
    assert_eq!(
        flaw(&authority.certificate_pem),
        Some(CertificateFlaw::IsAuthority)
    );
    let signed = |validity| signed(&authority, validity).certificate_pem;
    assert_eq!(flaw(&signed(None)), None);
    assert_eq!(flaw(&signed(Some(0..NOW + 1))), None);
    assert_eq!(
        flaw(&signed(Some(0..NOW - 1))),
        Some(CertificateFlaw::Expired)
    );
    assert_eq!(
        flaw(&signed(Some(NOW + 1..NOW + 9))),
        Some(CertificateFlaw::NotYetValid)
    );
    assert_eq!(flaw("none"), None);
}
