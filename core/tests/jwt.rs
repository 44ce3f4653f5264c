//! Tokens minted from every form of key that the vendor's recipes produce, and what every other
//! file is called. The keys were made by `keys/make.sh` and open nothing.
#![cfg(feature = "jwt")]
#![expect(clippy::disallowed_methods, reason = "an instant has no other source")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose};
use iotcore_gateway::{Algorithm, KeyError, MintError, ProjectId, SigningKey, UnixTime};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3_600);
const ISSUED_AT: UnixTime = UnixTime::from_secs(1_795_374_000);

/// Every form of private key that is read, by its file.
const GOOD_KEYS: [(&str, Algorithm); 5] = [
    ("rsa-2048.pkcs8.pem", Algorithm::Rs256),
    ("rsa-2048.pkcs1.pem", Algorithm::Rs256),
    ("p256.pkcs8.pem", Algorithm::Es256),
    ("p256.sec1.pem", Algorithm::Es256),
    ("p256.sec1-params.pem", Algorithm::Es256),
];

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/keys")
        .join(file)
}

fn read(file: &str) -> Vec<u8> {
    fs::read(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn key(file: &str, algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pem(&read(file), algorithm).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn project() -> ProjectId {
    "example.com:plant".parse().unwrap()
}

/// The decoded body of a one-section PEM file.
fn der(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    general_purpose::STANDARD.decode(body).unwrap()
}

/// The public key that a private key file belongs to, in the form that ring verifies with.
fn public_key(algorithm: Algorithm) -> UnparsedPublicKey<Vec<u8>> {
    let (verification, bytes): (&'static dyn VerificationAlgorithm, _) = match algorithm {
        Algorithm::Rs256 => (
            &RSA_PKCS1_2048_8192_SHA256,
            der(&read("rsa-2048.pkcs1.pub.pem")),
        ),
        Algorithm::Es256 => {
            let info = der(&read("p256.pub.pem"));
            (&ECDSA_P256_SHA256_FIXED, info[info.len() - 65..].to_vec())
        }
    };
    UnparsedPublicKey::new(verification, bytes)
}

/// The three parts of a token, each as bytes: what is signed, its JSON parts, and the signature.
fn parts(jwt: &str) -> (&str, Value, Value, Vec<u8>) {
    let decode = |part: &str| general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |part| serde_json::from_slice(&decode(part)).unwrap();
    (signed, json(header), json(claims), decode(signature))
}

#[test]
fn every_form_of_key_mints_a_token_that_its_public_key_verifies() {
    for (file, algorithm) in GOOD_KEYS {
        let key = key(file, algorithm);
        assert_eq!(key.algorithm(), algorithm);
        let jwt = key.mint(&project(), ISSUED_AT, HOUR).unwrap();
        let (signed, header, claims, signature) = parts(&jwt);

        let verified = public_key(algorithm).verify(signed.as_bytes(), &signature);
        assert!(verified.is_ok(), "{file}");
        assert_eq!(
            header,
            json!({ "alg": algorithm.to_string(), "typ": "JWT" })
        );
        assert_eq!(
            claims,
            json!({ "iat": 1_795_374_000, "exp": 1_795_377_600, "aud": "example.com:plant" })
        );
        let expected_len = if algorithm == Algorithm::Rs256 {
            256
        } else {
            64
        };
        assert_eq!(signature.len(), expected_len, "{file}");
    }
}

#[test]
fn a_changed_token_is_not_verified() {
    for (file, algorithm) in GOOD_KEYS {
        let jwt = key(file, algorithm)
            .mint(&project(), ISSUED_AT, HOUR)
            .unwrap();
        let (signed, .., signature) = parts(&jwt);
        for index in [0, signed.len() / 2, signed.len() - 1] {
            let mut changed = signed.as_bytes().to_vec();
            changed[index] ^= 1;
            assert!(
                public_key(algorithm).verify(&changed, &signature).is_err(),
                "{file}"
            );
        }
    }
}

#[test]
fn a_token_is_base64url_without_padding_whatever_the_audience() {
    for len in 1..=255 {
        let project = ProjectId::try_from("~?".repeat(128)[..len].to_owned()).unwrap();
        let jwt = key("p256.pkcs8.pem", Algorithm::Es256)
            .mint(&project, ISSUED_AT, HOUR)
            .unwrap();
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(jwt.chars().all(legal), "{jwt}");
        let (_, _, claims, _) = parts(&jwt);
        assert_eq!(claims["aud"], project.as_str());
    }
}

#[test]
fn line_ends_and_other_sections_do_not_hide_a_key() {
    let pem = String::from_utf8(read("p256.sec1-params.pem")).unwrap();
    let certificate = String::from_utf8(read("certificate.pem")).unwrap();
    for text in [
        pem.replace('\n', "\r\n"),
        pem.replace('\n', "\r"),
        pem.trim_end().to_owned(),
        format!("Bag Attributes\n    localKeyID: 01\n{pem}"),
        format!("{certificate}{pem}"),
        format!("{pem}{certificate}"),
    ] {
        let key = SigningKey::from_pem(text.as_bytes(), Algorithm::Es256).unwrap();
        assert!(key.mint(&project(), ISSUED_AT, HOUR).is_ok());
    }
}

#[test]
fn a_lifetime_is_one_second_to_a_day() {
    let key = key("p256.pkcs8.pem", Algorithm::Es256);
    for (lifetime, seconds) in [
        (Duration::from_secs(1), 1),
        (Duration::from_millis(1_999), 1),
        (Duration::from_secs(86_400), 86_400),
    ] {
        let jwt = key.mint(&project(), ISSUED_AT, lifetime).unwrap();
        assert_eq!(parts(&jwt).2["exp"], ISSUED_AT.as_secs() + seconds);
    }
    for (lifetime, shown) in [
        (Duration::ZERO, "0ns"),
        (Duration::from_millis(999), "999ms"),
        (Duration::from_millis(86_400_001), "86400.001s"),
        (Duration::from_secs(86_401), "86401s"),
        (Duration::MAX, "18446744073709551615.999999999s"),
    ] {
        let error = key.mint(&project(), ISSUED_AT, lifetime).unwrap_err();
        assert_eq!(error, MintError::Lifetime(lifetime));
        let message = format!("a token cannot live for {shown}; give 1 second to 24 hours");
        assert_eq!(error.to_string(), message);
        let token = key.token(&project(), lifetime, Instant::now(), ISSUED_AT);
        assert_eq!(token.unwrap_err(), error);
    }
}

#[test]
fn a_token_expires_on_both_clocks_at_the_same_moment() {
    let key = key("rsa-2048.pkcs8.pem", Algorithm::Rs256);
    let now = Instant::now();
    let token = key
        .token(&project(), Duration::from_millis(60_900), now, ISSUED_AT)
        .unwrap();
    assert_eq!(token.expires_at(), now + Duration::from_secs(60));
    assert_eq!(token.issued_at(), Some(ISSUED_AT));
    assert_eq!(token.expires(), Some(UnixTime::from_secs(1_795_374_060)));
    // RS256 knows no randomness: the same claims give the same token.
    assert_eq!(
        token.expose(),
        key.mint(&project(), ISSUED_AT, Duration::from_secs(60))
            .unwrap()
    );
}

#[test]
fn an_algorithm_is_known_by_its_name() {
    for (name, algorithm) in [("RS256", Algorithm::Rs256), ("ES256", Algorithm::Es256)] {
        assert_eq!(name.parse(), Ok(algorithm));
        assert_eq!(algorithm.to_string(), name);
    }
    for name in ["", "rs256", "HS256", "none"] {
        let error = name.parse::<Algorithm>().unwrap_err();
        let message = format!("algorithm {name:?} is unknown; it must be RS256 or ES256");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn debug_shows_nothing_of_a_key() {
    for (file, algorithm) in GOOD_KEYS {
        let shown = format!("{:?}", key(file, algorithm));
        assert_eq!(
            shown,
            format!("SigningKey {{ algorithm: {algorithm:?}, .. }}")
        );
    }
}

/// A file that gives no key, the algorithm asked for, the error, and words of its message.
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
            KeyError::Curve("another curve"),
            ["another curve", "prime256v1"],
        ),
        (
            "p256.explicit.pem",
            Es256,
            KeyError::Curve("a curve given by numbers, not by name"),
            ["given by numbers", "prime256v1"],
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
            ["a public key", "give the private key"],
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
            ["a certificate", "give the private key"],
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
            KeyError::OtherPem("OPENSSH PRIVATE KEY".into()),
            ["OPENSSH PRIVATE KEY", "PKCS#8, PKCS#1 or SEC1"],
        ),
        (
            "rsa-2048.der",
            Rs256,
            KeyError::Der,
            ["DER, not PEM", "openssl pkey -inform DER"],
        ),
    ]
}

/// Fails if `shown` repeats eight characters of the key's text in a row.
fn assert_secret(pem: &[u8], shown: &str) {
    let text = String::from_utf8_lossy(pem);
    let body = text.lines().filter(|line| !line.starts_with("-----"));
    for window in body.flat_map(|line| line.as_bytes().windows(8)) {
        let window = String::from_utf8_lossy(window);
        assert!(!shown.contains(&*window), "{shown:?} repeats {window:?}");
    }
}

#[test]
fn a_file_that_gives_no_key_is_called_what_it_is() {
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

#[test]
fn every_key_of_the_folder_is_in_a_test() {
    let bad = bad_keys();
    for entry in fs::read_dir(path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let tested = GOOD_KEYS.iter().any(|(file, _)| *file == name)
            || bad.iter().any(|(file, ..)| *file == name);
        assert!(tested || name == "make.sh", "{name} is in no table");
    }
}

#[test]
fn a_damaged_text_is_called_what_it_is() {
    let pem = String::from_utf8(read("rsa-2048.pkcs8.pem")).unwrap();
    let without_end = pem.replace("-----END PRIVATE KEY-----", "");
    let secret_label = pem.replace("BEGIN PRIVATE KEY-----\n", "BEGIN ");
    for (text, expected, words) in [
        ("".into(), KeyError::Empty, "give a private key as PEM text"),
        (" \r\n\t".into(), KeyError::Empty, "empty"),
        (
            "garbage".into(),
            KeyError::NotPem,
            "no line reads -----BEGIN ...-----",
        ),
        (
            pem.replace("-----BEGIN", "  -----BEGIN"),
            KeyError::NotPem,
            "spaces before it count",
        ),
        (
            pem.lines().nth(1).unwrap().into(),
            KeyError::NotPem,
            "not PEM",
        ),
        (
            pem.replace('\n', " "),
            KeyError::NoLineBreaks,
            "put them back",
        ),
        (
            pem.replace('\n', ""),
            KeyError::NoLineBreaks,
            "lost its line breaks",
        ),
        (
            pem.replace('\n', "\\n"),
            KeyError::NoLineBreaks,
            "lost its line breaks",
        ),
        (without_end, KeyError::Truncated, "whole, undamaged file"),
        (
            pem.replace("END PRIVATE", "END RSA PRIVATE"),
            KeyError::Truncated,
            "no -----END line",
        ),
        (pem[..600].into(), KeyError::Truncated, "no -----END line"),
        (
            pem.replacen("MII", "M*I", 1),
            KeyError::NotBase64,
            "not base64",
        ),
        (
            pem.replacen("MII", "MI", 1),
            KeyError::NotBase64,
            "undamaged",
        ),
        (secret_label, KeyError::NotPem, "not PEM"),
    ] {
        let error = SigningKey::from_pem(text.as_bytes(), Algorithm::Rs256).unwrap_err();
        assert_eq!(error, expected, "{text}");
        assert!(error.to_string().contains(words), "{error}");
        assert_secret(pem.as_bytes(), &format!("{error} {error:?}"));
    }
}

#[test]
fn a_label_that_could_be_anything_is_not_repeated() {
    let section = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    for label in ["MIIEvgIBADANBgkqhkiG9w0", "A\u{1b}[2J", &"A".repeat(41)] {
        let pem = section(label);
        let error = SigningKey::from_pem(pem.as_bytes(), Algorithm::Rs256).unwrap_err();
        assert_eq!(error, KeyError::OtherPem(String::new()));
        assert!(!error.to_string().contains(label), "{error}");
    }
}

/// Every prefix of a key's DER and every single changed byte, wrapped as PEM anew.
#[test]
fn a_damaged_key_is_refused_or_works_but_never_panics() {
    for (file, algorithm, label) in [
        ("rsa-2048.pkcs8.pem", Algorithm::Rs256, "PRIVATE KEY"),
        ("p256.pkcs8.pem", Algorithm::Es256, "PRIVATE KEY"),
        ("p256.sec1.pem", Algorithm::Es256, "EC PRIVATE KEY"),
    ] {
        let good = der(&read(file));
        let cuts = (0..good.len()).map(|len| good[..len].to_vec());
        let changes = (0..good.len().min(160)).flat_map(|index| {
            [0x01, 0x80, 0xFF].map(|bits| {
                let mut changed = good.clone();
                changed[index] ^= bits;
                changed
            })
        });
        let cut_count = good.len();
        for (index, bytes) in cuts.chain(changes).enumerate() {
            let body = general_purpose::STANDARD.encode(&bytes);
            let pem = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
            match SigningKey::from_pem(pem.as_bytes(), algorithm) {
                Ok(key) => {
                    assert!(index >= cut_count, "{file} cut after {index} bytes");
                    let _minted = key.mint(&project(), ISSUED_AT, HOUR);
                }
                Err(error) => assert_secret(pem.as_bytes(), &format!("{error} {error:?}")),
            }
        }
    }
}

#[test]
fn an_rsa_key_of_no_size_is_refused() {
    for modulus in [
        &[0x02, 0x00][..],
        &[0x02, 0x01, 0x00],
        &[0x02, 0x03, 0x00, 0x00, 0x00],
    ] {
        let mut bytes = vec![0x30, 3 + modulus.len() as u8, 0x02, 0x01, 0x00];
        bytes.extend(modulus);
        let body = general_purpose::STANDARD.encode(&bytes);
        let pem =
            format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n");
        let error = SigningKey::from_pem(pem.as_bytes(), Algorithm::Rs256).unwrap_err();
        assert_eq!(error, KeyError::RsaSize { bits: 0 });
    }
}

#[test]
fn a_key_whose_halves_do_not_match_is_refused() {
    let mut bytes = der(&read("p256.sec1.pem"));
    bytes[20] ^= 1; // within the private half
    let body = general_purpose::STANDARD.encode(&bytes);
    let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n");
    let error = SigningKey::from_pem(pem.as_bytes(), Algorithm::Es256).unwrap_err();
    assert_eq!(error, KeyError::Malformed("InconsistentComponents".into()));
    assert!(error.to_string().contains("openssl pkey -check"), "{error}");
}
