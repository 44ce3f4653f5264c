//! Finds a private key in PEM text, or says what the text contains instead.

use zeroize::Zeroizing;

mod key_error;

pub use key_error::KeyError;

use crate::{
    der::{Der, INTEGER, SEQUENCE},
    pem::{self, Damage},
};

/// Returns the DER of the first private key in `text` that is not damaged.
pub(crate) fn decode(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let labels: [&[u8]; 3] = [b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"PRIVATE KEY"];
    let mut damage = None;
    for section in pem::sections(text).filter(|section| labels.contains(&section.label)) {
        match section.decode() {
            Ok(der) => return Ok(der),
            Err(found) => damage = damage.or(Some(found)),
        }
    }
    Err(explain(text, damage))
}

/// Returns what `text` is, if no private key could be read from it. `damage` is that of its first private key.
fn explain(text: &[u8], damage: Option<Damage>) -> KeyError {
    let labels = || pem::sections(text).map(|section| section.label);
    let is_encrypted = labels().any(|label| label == b"ENCRYPTED PRIVATE KEY")
        || pem::find(text, b"Proc-Type: 4,ENCRYPTED").is_some();

    if text.trim_ascii().is_empty() {
        KeyError::Empty
    } else if pem::is_utf16(text) {
        KeyError::Utf16
    } else if is_encrypted {
        KeyError::Encrypted
    } else if let Some(damage) = damage {
        match damage {
            Damage::Begin => KeyError::NotPem,
            Damage::Escaped => KeyError::NoLineBreaks,
            Damage::NotBase64 => KeyError::NotBase64,
            Damage::Truncated => KeyError::Truncated,
        }
    } else if let Some(error) = labels().map(of_label).reduce(more_telling) {
        error
    } else if text.first() == Some(&SEQUENCE) {
        of_der(text)
    } else {
        KeyError::NotPem
    }
}

fn of_label(label: &[u8]) -> KeyError {
    let is_label = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b' ';
    match label {
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" | b"EC PUBLIC KEY" => KeyError::PublicKey,
        b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" => KeyError::Certificate,
        b"OPENSSH PRIVATE KEY" => KeyError::OpenSsh,
        b"DSA PRIVATE KEY" => KeyError::UnsupportedKind("DSA"),
        _ if label.len() <= 40 && label.iter().copied().all(is_label) => {
            KeyError::OtherPem(String::from_utf8_lossy(label).into_owned())
        }
        _ => KeyError::OtherPem(String::new()),
    }
}

/// Returns which of two sections says more about why there is no key: one with a private key, otherwise the first.
fn more_telling(first: KeyError, next: KeyError) -> KeyError {
    let is_private =
        |error: &KeyError| matches!(error, KeyError::OpenSsh | KeyError::UnsupportedKind(_));
    if !is_private(&first) && is_private(&next) {
        next
    } else {
        first
    }
}

/// Distinguishes PKCS#12, whose version is 3, from the DER of a key.
fn of_der(der: &[u8]) -> KeyError {
    let contents = Der(der).take(SEQUENCE);
    match contents.and_then(|contents| Der(contents).take(INTEGER)) {
        Some([3]) => KeyError::Pkcs12,
        _ => KeyError::Der,
    }
}
