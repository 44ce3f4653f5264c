//! What a file is called that gives no private key, and what its error keeps to itself.
#![forbid(unsafe_code)]
#![cfg(feature = "jwt")]

mod keys;

use std::{fs, time::Duration};

use base64::{Engine as _, engine::general_purpose};
use iotcore_gateway::{Algorithm, KeyError, ProjectId, SigningKey, UnixTime};
use keys::{GOOD_KEYS, der, path, read};

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

/// As RFC 8410 numbers them, in a PKCS#8 container.
#[test]
fn a_key_of_another_kind_is_named_as_far_as_its_kind_is_known() {
    let ed25519 = der(&read("ed25519.pem"));
    let identifier = [0x2B, 0x65, 0x70];
    let at = ed25519
        .windows(identifier.len())
        .position(|window| window == identifier)
        .unwrap();
    for (last, kind) in [
        (0x6E, "X25519"),
        (0x6F, "neither RSA nor elliptic curve"),
        (0x70, "Ed25519"),
        (0x71, "Ed448"),
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
fn every_key_of_the_folder_is_in_a_test() {
    let bad = bad_keys();
    for entry in fs::read_dir(path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let tested = GOOD_KEYS.iter().any(|(file, _)| *file == name)
            || bad.iter().any(|(file, ..)| *file == name);
        assert!(
            tested || ["make.sh", "mod.rs"].contains(&&*name),
            "{name} is in no table"
        );
    }
}

#[test]
fn a_damaged_text_is_called_what_it_is() {
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
            pem.replace("-----BEGIN", "  -----BEGIN"),
            KeyError::NotPem,
            "must not be indented",
        ),
        (
            pem.lines().nth(1).unwrap().into(),
            KeyError::NotPem,
            "not PEM",
        ),
        (
            pem.replace('\n', " "),
            KeyError::NoLineBreaks,
            "restore them",
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
        let mut bytes = vec![0x30, 5 + len, 0x02, 0x01, 0x00, 0x02, len];
        bytes.extend(modulus);
        let body = general_purpose::STANDARD.encode(&bytes);
        let label = "RSA PRIVATE KEY";
        let pem = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let error = SigningKey::from_pem(pem.as_bytes(), Algorithm::Rs256).unwrap_err();
        assert_eq!(error, KeyError::RsaSize { bits });
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
