//! The keys in the folder, and keys of other kinds.

use std::fs;

use base64::{Engine as _, engine::general_purpose};
use iotcore_gateway::{
    Algorithm,
    auth::{KeyError, SigningKey},
};

use super::{
    assert_secret,
    keys::{GOOD_KEYS, der, path, read},
};

/// A file without a usable key, the requested algorithm, the error, and parts of its message.
type BadKey = (&'static str, Algorithm, KeyError, [&'static str; 2]);

fn bad_keys() -> Vec<BadKey> {
    use Algorithm::{Es256, Rs256};
    vec![
        (
            "rsa-2048.pkcs8.pem",
            Es256,
            KeyError::RsaForEs256,
            ["RSA key, which cannot sign ES256", "choose RS256"],
        ),
        (
            "rsa-2048.pkcs1.pem",
            Es256,
            KeyError::RsaForEs256,
            ["RSA key", "choose RS256"],
        ),
        (
            "rsa-1024.pem",
            Es256,
            KeyError::RsaForEs256,
            ["RSA key", "choose RS256"],
        ),
        (
            "p256.pkcs8.pem",
            Rs256,
            KeyError::EcForRs256,
            [
                "elliptic-curve key, which cannot sign RS256",
                "choose ES256",
            ],
        ),
        (
            "p256.sec1-params.pem",
            Rs256,
            KeyError::EcForRs256,
            ["cannot sign RS256", "ES256"],
        ),
        (
            "secp384r1.pem",
            Rs256,
            KeyError::EcForRs256,
            ["elliptic-curve", "if it is on P-256"],
        ),
        (
            "rsa-1024.pem",
            Rs256,
            KeyError::RsaSize { bits: 1_024 },
            ["1024 bits", "2048, 3072 or 4096"],
        ),
        (
            "rsa-2056.pem",
            Rs256,
            KeyError::RsaSize { bits: 2_056 },
            ["2056 bits", "genpkey"],
        ),
        (
            "rsa-8192.pem",
            Rs256,
            KeyError::RsaSize { bits: 8_192 },
            ["8192 bits", "genpkey"],
        ),
        (
            "rsa-exponent-3.pem",
            Rs256,
            KeyError::RsaForm("a public exponent below 65537"),
            ["which is not supported", "genpkey"],
        ),
        (
            "rsa-three-primes.pem",
            Rs256,
            KeyError::RsaForm("more than two primes"),
            ["which is not supported", "genpkey"],
        ),
        (
            "secp384r1.pem",
            Es256,
            KeyError::Curve("P-384"),
            ["on P-384, and ES256 needs P-256", "prime256v1"],
        ),
        (
            "secp384r1.pkcs8.pem",
            Es256,
            KeyError::Curve("P-384"),
            ["on P-384", "prime256v1"],
        ),
        (
            "secp521r1.pem",
            Es256,
            KeyError::Curve("P-521"),
            ["on P-521", "prime256v1"],
        ),
        (
            "secp256k1.pem",
            Es256,
            KeyError::Curve("secp256k1"),
            ["on secp256k1", "prime256v1"],
        ),
        (
            "brainpoolP256r1.pem",
            Es256,
            KeyError::Curve("a Brainpool curve"),
            ["on a Brainpool curve", "prime256v1"],
        ),
        (
            "secp384r1.explicit.pem",
            Es256,
            KeyError::Curve("a curve given by explicit parameters"),
            ["explicit parameters", "prime256v1"],
        ),
        (
            "p256.no-public.pem",
            Es256,
            KeyError::NoPublicPoint,
            ["missing", "openssl ec -conv_form uncompressed"],
        ),
        (
            "p256.compressed.pem",
            Es256,
            KeyError::NoPublicPoint,
            ["compressed", "openssl ec -conv_form uncompressed"],
        ),
        (
            "ed25519.pem",
            Es256,
            KeyError::UnsupportedKind("Ed25519"),
            ["Ed25519", "P-256 for ES256"],
        ),
        (
            "ed25519.pem",
            Rs256,
            KeyError::UnsupportedKind("Ed25519"),
            ["Ed25519", "RSA key for RS256"],
        ),
        (
            "x25519.pem",
            Es256,
            KeyError::UnsupportedKind("X25519"),
            ["X25519", "P-256"],
        ),
        (
            "rsa-pss.pem",
            Rs256,
            KeyError::UnsupportedKind("RSA-PSS"),
            ["RSA-PSS", "RSA key"],
        ),
        (
            "rsa-2048.encrypted-pkcs8.pem",
            Rs256,
            KeyError::Encrypted,
            ["is encrypted", "openssl pkey -in KEY -out DECRYPTED"],
        ),
        (
            "rsa-2048.encrypted-pkcs1.pem",
            Rs256,
            KeyError::Encrypted,
            ["encrypted", "decrypt it"],
        ),
        (
            "p256.encrypted-sec1.pem",
            Es256,
            KeyError::Encrypted,
            ["encrypted", "decrypt it"],
        ),
        (
            "rsa-2048.pub.pem",
            Rs256,
            KeyError::PublicKey,
            ["a public key", "use the private key"],
        ),
        (
            "rsa-2048.pkcs1.pub.pem",
            Rs256,
            KeyError::PublicKey,
            ["public", "private key"],
        ),
        (
            "p256.pub.pem",
            Es256,
            KeyError::PublicKey,
            ["public", "private key"],
        ),
        (
            "certificate.pem",
            Rs256,
            KeyError::Certificate,
            ["a certificate", "use the private key"],
        ),
        (
            "p256.zero.certificate.pem",
            Es256,
            KeyError::Certificate,
            ["a certificate", "use the private key"],
        ),
        (
            "roots.pem",
            Es256,
            KeyError::Certificate,
            ["a certificate", "use the private key"],
        ),
        (
            "request.pem",
            Es256,
            KeyError::OtherPem("CERTIFICATE REQUEST".into()),
            [
                "\"CERTIFICATE REQUEST\" and no private key",
                "PKCS#8, PKCS#1 or SEC1",
            ],
        ),
        (
            "openssh.pem",
            Rs256,
            KeyError::OpenSsh,
            ["OpenSSH's own form", "ssh-keygen -p -N '' -m PEM -f COPY"],
        ),
        (
            "dsa.traditional.pem",
            Es256,
            KeyError::UnsupportedKind("DSA"),
            ["kind of key: DSA", "P-256 for ES256"],
        ),
        (
            "dsa.pkcs8.pem",
            Rs256,
            KeyError::UnsupportedKind("DSA"),
            ["kind of key: DSA", "RSA key for RS256"],
        ),
        (
            "p256.zero.pub.pem",
            Es256,
            KeyError::PublicKey,
            ["public", "private key"],
        ),
        (
            "p256.p12",
            Es256,
            KeyError::Pkcs12,
            ["in PKCS#12, not PEM", "openssl pkcs12 -nocerts -nodes"],
        ),
        (
            "rsa-2048.der",
            Rs256,
            KeyError::Der,
            ["DER, not PEM", "openssl pkey -inform DER"],
        ),
    ]
}

#[test]
fn a_file_without_a_usable_key_is_reported_as_what_it_is() {
    for (file, algorithm, expected, words) in bad_keys() {
        let pem = read(file);
        let error = SigningKey::from_pem(&pem, algorithm).unwrap_err();
        assert_eq!(error, expected, "{file}");
        let message = error.to_string();
        for word in words {
            assert!(message.contains(word), "{file}: {message:?} lacks {word:?}");
        }
        assert_secret(&pem, &format!("{error} {error:?}"));
    }
}

/// Uses the algorithm identifiers of RFC 8410 in a PKCS#8 container.
#[test]
fn a_key_of_another_kind_is_named_if_its_kind_is_known() {
    let ed25519 = der(&read("ed25519.pem"));
    let identifier = [0x2B, 0x65, 0x70];
    let at = ed25519
        .windows(identifier.len())
        .position(|window| window == identifier)
        .unwrap();
    for (last, kind) in [
        (0x6E, "X25519"),
        (0x6F, "X448"),
        (0x70, "Ed25519"),
        (0x71, "Ed448"),
        (0x72, "neither RSA nor elliptic curve"),
    ] {
        let mut bytes = ed25519.clone();
        bytes[at + 2] = last;
        let body = general_purpose::STANDARD.encode(&bytes);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        let error = SigningKey::from_pem(pem.as_bytes(), Algorithm::Es256).unwrap_err();
        assert_eq!(error, KeyError::UnsupportedKind(kind));
    }
}

#[test]
fn a_text_in_utf_16_is_called_so() {
    let text = String::from_utf8(read("p256.pkcs8.pem")).unwrap();
    let units = || text.encode_utf16();
    let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
    for pem in [
        [&[0xFF, 0xFE], &little[..]].concat(),
        [&[0xFE, 0xFF], &big[..]].concat(),
    ] {
        let error = SigningKey::from_pem(&pem, Algorithm::Es256).unwrap_err();
        assert_eq!(error, KeyError::Utf16);
        assert!(error.to_string().contains("save it as UTF-8"), "{error}");
    }
}

#[test]
fn a_private_key_of_an_unsupported_form_is_reported_rather_than_the_certificate_before_it() {
    let pem = [read("certificate.pem"), read("openssh.pem")].concat();
    let error = SigningKey::from_pem(&pem, Algorithm::Rs256).unwrap_err();
    assert_eq!(error, KeyError::OpenSsh);
}

#[test]
fn every_key_in_the_folder_is_in_a_test() {
    let bad = bad_keys();
    for entry in fs::read_dir(path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let tested = GOOD_KEYS.iter().any(|(file, _)| *file == name)
            || bad.iter().any(|(file, ..)| *file == name);
        assert!(
            tested || ["make.sh", "mod.rs"].contains(&&*name),
            "{name} is not in any table"
        );
    }
}
