//! Damaged texts and keys.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose};
use iotcore_gateway::{
    Algorithm,
    auth::{KeyError, SigningKey, UnixTime},
    id::ProjectId,
};

use super::{
    assert_secret,
    keys::{der, read},
};

#[test]
fn a_damaged_text_is_reported_with_its_defect() {
    let pem = String::from_utf8(read("rsa-2048.pkcs8.pem")).unwrap();
    let without_end = pem.replace("-----END PRIVATE KEY-----", "");
    let secret_label = pem.replace("BEGIN PRIVATE KEY-----\n", "BEGIN ");
    for (text, expected, words) in [
        ("".into(), KeyError::Empty, "use a private key as PEM text"),
        (" \r\n\t".into(), KeyError::Empty, "empty"),
        (
            "garbage".into(),
            KeyError::NotPem,
            "no line reads -----BEGIN ...-----",
        ),
        (
            pem.replace("-----BEGIN", "----BEGIN"),
            KeyError::NotPem,
            "no line reads -----BEGIN",
        ),
        (
            pem.lines().nth(1).unwrap().into(),
            KeyError::NotPem,
            "not PEM",
        ),
        (
            pem.replace('\n', "\\n"),
            KeyError::NoLineBreaks,
            "written as \\n",
        ),
        (without_end, KeyError::Truncated, "complete, undamaged file"),
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
fn an_arbitrary_label_is_not_repeated_in_the_error() {
    let section = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    for label in ["MIIEvgIBADANBgkqhkiG9w0", "A\u{1b}[2J", &"A".repeat(41)] {
        let pem = section(label);
        let error = SigningKey::from_pem(pem.as_bytes(), Algorithm::Rs256).unwrap_err();
        assert_eq!(error, KeyError::OtherPem(String::new()));
        assert!(!error.to_string().contains(label), "{error}");
    }
}

/// Every prefix of a key's DER and every single changed byte, encoded as PEM again.
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
                    let project = ProjectId::try_from("plant").unwrap();
                    let issued_at = UnixTime::from_secs(1_795_374_000);
                    let _minted = key.mint(&project, issued_at, Duration::from_secs(60));
                }
                Err(error) => assert_secret(pem.as_bytes(), &format!("{error} {error:?}")),
            }
        }
    }
}

#[test]
fn the_size_of_an_rsa_key_counts_the_bits_of_its_modulus() {
    for (modulus, bits) in [
        (&[][..], 0),
        (&[0x00], 0),
        (&[0x00, 0x00, 0x00], 0),
        (&[0x01, 0xFF], 9),
        (&[0x00, 0x80, 0x00], 16),
    ] {
        let len = modulus.len() as u8;
        let mut bytes = vec![0x30, 8 + len, 0x02, 0x01, 0x00, 0x02, len];
        bytes.extend(modulus);
        bytes.extend([0x02, 0x01, 0x03]);
        let body = general_purpose::STANDARD.encode(&bytes);
        let label = "RSA PRIVATE KEY";
        let pem = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let error = SigningKey::from_pem(pem.as_bytes(), Algorithm::Rs256).unwrap_err();
        assert_eq!(error, KeyError::RsaSize { bits });
    }
}

#[test]
fn a_number_that_is_too_large_for_p_256_is_refused() {
    let mut bytes = der(&read("p256.long.sec1.pem"));
    assert_eq!(bytes[6..9], [33, 0, 0]);
    bytes[7] = 1;
    let body = general_purpose::STANDARD.encode(&bytes);
    let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n");
    let error = SigningKey::from_pem(pem.as_bytes(), Algorithm::Es256).unwrap_err();
    assert_eq!(
        error,
        KeyError::Malformed("the private number is too large".into())
    );
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
