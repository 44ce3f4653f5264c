//! Roots, client certificates and hosts.

use core::error::Error as _;

use super::*;

#[test]
fn a_ca_file_without_a_certificate_is_told_apart_from_a_broken_and_a_missing_one() {
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for pem in ["", "not PEM at all", key] {
        let error = Tls::from_pem(pem.as_bytes()).unwrap_err();
        assert!(matches!(error, TlsError::NoCertificate), "{error:?}");
    }
    for (pem, shown) in [
        (
            section("!!!!"),
            "the only certificate in the CA file cannot be used: certificate 1 cannot be used: its PEM",
        ),
        (
            section("AAAA"),
            "the only certificate in the CA file cannot be used: certificate 1 cannot be used: it is damaged",
        ),
        (
            section("AAAA").repeat(3),
            "none of the 3 certificates in the CA file can be used: certificate 1 cannot",
        ),
    ] {
        let error = Tls::from_pem(pem.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with(shown), "{error}");
    }
    for der in [
        &include_bytes!("../../../../tests/keys/rsa-2048.der")[..],
        include_bytes!("../../../../tests/keys/p256.p12"),
    ] {
        let error = Tls::from_pem(der).unwrap_err();
        assert!(matches!(error, TlsError::Der), "{error:?}");
    }
    let error = Tls::from_pem(&[0xFF, 0xFE, 0, 0]).unwrap_err();
    assert!(matches!(error, TlsError::Utf16), "{error:?}");
    let error = Tls::from_pem_file("no/such/file.pem").unwrap_err();
    assert_eq!(error.to_string(), "cannot read no/such/file.pem");
    assert!(error.source().is_some());
}

const CERTIFICATE: &str = include_str!("../../../../tests/keys/certificate.pem");

fn section(body: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

#[test]
fn certificates_in_unusual_places_count_or_are_named() {
    let joined = CERTIFICATE.trim_end().repeat(3);
    assert_eq!(read_roots(joined.as_bytes()).unwrap().0.len(), 3);
    let pkcs7 = section("AAAA").replace("CERTIFICATE", "PKCS7");
    for (odd, part) in [
        (
            CERTIFICATE.replace("-----BEGIN", "----BEGIN"),
            "its BEGIN line must read",
        ),
        (CERTIFICATE.replace('\n', "\\n"), "written as \\n"),
        (pkcs7, "openssl pkcs7 -print_certs"),
    ] {
        let (roots, unusable) = read_roots(format!("{CERTIFICATE}{odd}").as_bytes()).unwrap();
        assert_eq!((roots.len(), unusable.len()), (1, 1), "{odd}");
        let shown = unusable[0].to_string();
        assert!(
            shown.starts_with("certificate 2 cannot be used: "),
            "{shown}"
        );
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn certificates_that_cannot_be_used_are_named_and_the_others_count() {
    let body: String = CERTIFICATE
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    // The same certificate, with a version that does not exist.
    let of_version_8 = section(&body.replacen("AwIBAgIU", "AwIBBwIU", 1));
    let trusted = CERTIFICATE.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let cut = CERTIFICATE
        .split_inclusive('\n')
        .take(3)
        .collect::<String>();
    let bundle = [
        CERTIFICATE,
        &section("!!!!"),
        &of_version_8,
        "a comment\n",
        &trusted,
        &cut,
        CERTIFICATE,
        &section("AAAA"),
    ];
    let tls = Tls::from_pem(bundle.concat().as_bytes()).unwrap();
    let shown: Vec<_> = tls
        .unusable_certificates()
        .iter()
        .map(ToString::to_string)
        .collect();
    for (shown, parts) in shown.iter().zip([
        ["certificate 2 cannot be used", "not base64"],
        [
            "certificate 3 (CN=throw-away) cannot be used",
            "BadEncoding",
        ],
        [
            "certificate 4 (CN=throw-away) cannot be used",
            "openssl x509",
        ],
        ["certificate 5 cannot be used", "no END line"],
        ["certificate 7 cannot be used", "BadEncoding"],
    ]) {
        assert!(parts.iter().all(|part| shown.contains(part)), "{shown}");
    }
    assert_eq!(shown.len(), 5, "{shown:?}");
    assert_eq!(read_roots(bundle.concat().as_bytes()).unwrap().0.len(), 2);
}

#[test]
fn roots_that_can_verify_no_server_are_named_with_their_key() {
    let roots = include_str!("../../../../tests/keys/roots.pem");
    let bundle = format!("{CERTIFICATE}{roots}");
    let (roots, unusable) = read_roots(bundle.as_bytes()).unwrap();
    // Those on P-384 and of Ed25519 can.
    assert_eq!((roots.len(), unusable.len()), (3, 3));
    for (unusable, part) in unusable.iter().zip([
        "certificate 2 (CN=rsa-1024) cannot be used: it has an RSA key of 1024 bits, and no server",
        "certificate 3 (CN=secp521r1) cannot be used: it has a key on P-521, and no server",
        "certificate 4 (CN=secp256k1) cannot be used: it has a key on secp256k1, and no server",
    ]) {
        let shown = unusable.to_string();
        assert!(shown.starts_with(part), "{shown}");
    }
}
