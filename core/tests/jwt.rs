//! Tokens minted from every key format that the vendor's instructions produce.
#![forbid(unsafe_code)]
#![cfg(feature = "jwt")]
#![expect(clippy::disallowed_methods, reason = "an instant has no other source")]

mod keys;

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose};
use iotcore_gateway::{
    Algorithm,
    auth::{MintError, SigningKey, UnixTime},
    id::ProjectId,
};
use keys::{GOOD_KEYS, der, read};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3_600);
const ISSUED_AT: UnixTime = UnixTime::from_secs(1_795_374_000);

fn key(file: &str, algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pem(&read(file), algorithm).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn project() -> ProjectId {
    "example.com:plant".parse().unwrap()
}

/// Returns the public key of a private key file, in ring's form.
fn public_key(file: &str, algorithm: Algorithm) -> UnparsedPublicKey<Vec<u8>> {
    let (verification, bytes): (&'static dyn VerificationAlgorithm, _) = match algorithm {
        Algorithm::Rs256 => (
            &RSA_PKCS1_2048_8192_SHA256,
            der(&read("rsa-2048.pkcs1.pub.pem")),
        ),
        Algorithm::Es256 => {
            let is_zero = file.contains("short") || file.contains("long");
            let public = if is_zero {
                "p256.zero.pub.pem"
            } else {
                "p256.pub.pem"
            };
            let info = der(&read(public));
            (&ECDSA_P256_SHA256_FIXED, info[info.len() - 65..].to_vec())
        }
    };
    UnparsedPublicKey::new(verification, bytes)
}

/// Splits a token into its signed text, header, claims and signature.
fn parts(jwt: &str) -> (&str, Value, Value, Vec<u8>) {
    let decode = |part: &str| general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |part| serde_json::from_slice(&decode(part)).unwrap();
    (signed, json(header), json(claims), decode(signature))
}

/// The editors of Windows write byte order marks and CRLF.
#[test]
fn a_byte_order_mark_and_other_line_endings_do_not_matter() {
    for (file, algorithm) in GOOD_KEYS {
        let text = String::from_utf8(read(file)).unwrap();
        for text in [
            format!("\u{feff}{text}"),
            text.replace('\n', "\r\n"),
            format!("\u{feff}{}", text.replace('\n', "\r\n")),
        ] {
            let key = SigningKey::from_pem(text.as_bytes(), algorithm).unwrap();
            let jwt = key.mint(&project(), ISSUED_AT, HOUR).unwrap();
            let (signed, .., signature) = parts(&jwt);
            let verified = public_key(file, algorithm).verify(signed.as_bytes(), &signature);
            assert!(verified.is_ok(), "{file}");
        }
    }
}

#[test]
fn every_form_of_key_mints_a_token_that_its_public_key_verifies() {
    for (file, algorithm) in GOOD_KEYS {
        let key = key(file, algorithm);
        assert_eq!(key.algorithm(), algorithm);
        let jwt = key.mint(&project(), ISSUED_AT, HOUR).unwrap();
        let (signed, header, claims, signature) = parts(&jwt);

        let verified = public_key(file, algorithm).verify(signed.as_bytes(), &signature);
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
                public_key(file, algorithm)
                    .verify(&changed, &signature)
                    .is_err(),
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
        let message = format!("a token cannot be valid for {shown}; use 1 second to 24 hours");
        assert_eq!(error.to_string(), message);
        let token = key.token(&project(), lifetime, Instant::now(), ISSUED_AT);
        assert_eq!(token.unwrap_err(), error);
    }
}

#[test]
fn a_token_expires_at_the_same_time_on_both_clocks() {
    let key = key("rsa-2048.pkcs8.pem", Algorithm::Rs256);
    let now = Instant::now();
    let token = key
        .token(&project(), Duration::from_millis(60_900), now, ISSUED_AT)
        .unwrap();
    assert_eq!(token.expires_at(), now + Duration::from_secs(60));
    assert_eq!(token.issued_at(), Some(ISSUED_AT));
    assert_eq!(token.expires(), Some(UnixTime::from_secs(1_795_374_060)));
    // RS256 is deterministic: the same claims produce the same token.
    assert_eq!(
        token.expose(),
        key.mint(&project(), ISSUED_AT, Duration::from_secs(60))
            .unwrap()
    );
}

#[test]
fn an_algorithm_is_parsed_from_its_name() {
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
fn debug_does_not_show_a_key() {
    for (file, algorithm) in GOOD_KEYS {
        let shown = format!("{:?}", key(file, algorithm));
        assert_eq!(
            shown,
            format!("SigningKey {{ algorithm: {algorithm:?}, .. }}")
        );
    }
}

#[test]
fn a_key_is_read_by_its_contents_whatever_its_label() {
    let labels = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
    for (file, algorithm) in GOOD_KEYS {
        let pem = String::from_utf8(read(file)).unwrap();
        // A section with the parameters may be before it.
        let (label, key) = pem
            .split("-----BEGIN ")
            .filter_map(|section| section.split_once("-----"))
            .find(|(label, _)| labels.contains(label))
            .unwrap();
        for other in labels {
            let key = key.replace(&format!("END {label}"), &format!("END {other}"));
            let pem = format!("-----BEGIN {other}-----{key}");
            let key = SigningKey::from_pem(pem.as_bytes(), algorithm).unwrap();
            assert_eq!(key.algorithm(), algorithm, "{file} as {other}");
        }
    }
}
