//! What is said about certificates whose signatures or keys are of an unsupported kind.

use core::fmt;

const SUPPORTED: &str =
    "with SHA-256, by a CA whose key is RSA of 2048 bits or more, on P-256 or P-384, or Ed25519";

/// Says that a signature algorithm is not supported; `id` is the contents of its AlgorithmIdentifier (RFC 5280).
pub(super) fn of_signature(id: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = match id {
        [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 5, ..] => " (RSA with SHA-1)",
        [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 4, ..] => " (RSA with MD5)",
        [0x06, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 1, ..] => " (ECDSA with SHA-1)",
        [0x06, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 4, ..] => " (ECDSA with SHA-512)",
        _ => "",
    };
    write!(
        f,
        "a signature of the server's certificate, or of one that it was issued with, is of a kind that is not \
         supported{name}: have it issued anew, {SUPPORTED}"
    )
}

/// Says that the key of a CA is not supported; `id` is the contents of its AlgorithmIdentifier.
pub(super) fn of_ca_key(id: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = match id {
        [.., 0x06, 5, 0x2B, 0x81, 4, 0, 0x23] => " (it is on P-521)",
        [.., 0x06, 5, 0x2B, 0x81, 4, 0, 0x0A] => " (it is on secp256k1)",
        _ => "",
    };
    write!(
        f,
        "the key of a CA of the server's certificate is not supported{name}, or not for the kind of its signature: have the \
         certificate issued {SUPPORTED}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shown<'a>(fn(&[u8], &mut fmt::Formatter<'_>) -> fmt::Result, &'a [u8]);

    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0(self.1, f)
        }
    }

    #[test]
    fn old_algorithms_and_odd_curves_are_named() {
        let sha1_with_rsa = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x05\x05\x00";
        let ecdsa_with_sha512 = b"\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x04";
        let p521 = b"\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x05\x2B\x81\x04\x00\x23";
        for (shown, part) in [
            (
                Shown(of_signature, sha1_with_rsa),
                "not supported (RSA with SHA-1): have it",
            ),
            (
                Shown(of_signature, ecdsa_with_sha512),
                "not supported (ECDSA with SHA-512): have it",
            ),
            (Shown(of_signature, b"?"), "not supported: have it"),
            (
                Shown(of_ca_key, p521),
                "not supported (it is on P-521), or not for",
            ),
            (Shown(of_ca_key, b"?"), "not supported, or not for"),
        ] {
            let shown = shown.to_string();
            assert!(shown.contains(part), "{shown}");
            assert!(shown.ends_with(SUPPORTED), "{shown}");
        }
    }
}
