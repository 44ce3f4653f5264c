use core::{error::Error, fmt};

/// Why a file contains no usable private key: what it is instead, and what to do. Contains no byte of a key.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Nothing but white space.
    Empty,
    /// Nothing that begins a PEM section, with five dashes before and after it.
    NotPem,
    /// Text in UTF-16, as some Windows programs save it.
    Utf16,
    /// DER, the binary form.
    Der,
    /// PKCS#12, a binary form that also holds certificates.
    Pkcs12,
    /// PEM text whose line breaks are written as `\n`.
    NoLineBreaks,
    /// A PEM section without its end.
    Truncated,
    /// A PEM section that is not base64.
    NotBase64,
    /// A private key encrypted with a passphrase, in PKCS#8 or the older form.
    Encrypted,
    /// The public half of a key pair.
    PublicKey,
    /// An X.509 certificate.
    Certificate,
    /// A private key in OpenSSH's own form.
    OpenSsh,
    /// Only PEM sections of other kinds; contains the label of the first, or an empty string if that is unusual.
    OtherPem(String),
    /// An RSA key, but ES256 was requested.
    RsaForEs256,
    /// An elliptic-curve key, but RS256 was requested.
    EcForRs256,
    /// An RSA key of an unsupported size.
    RsaSize {
        /// The size of its modulus.
        bits: usize,
    },
    /// An RSA key of an unsupported form; contains what it has, such as `more than two primes`.
    RsaForm(&'static str),
    /// An elliptic-curve key on a curve other than P-256, which may be given by explicit parameters.
    Curve(&'static str),
    /// An elliptic-curve key whose public point is missing or compressed.
    NoPublicPoint,
    /// A kind of key that the service does not support, such as Ed25519.
    UnsupportedKind(&'static str),
    /// Base64 that is not a key, or of a damaged one; contains the reader's message.
    Malformed(String),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the key is empty"),
            Self::NotPem => write!(f, "the key is not PEM: no line reads -----BEGIN ...-----"),
            Self::Utf16 => write!(f, "the key is text in UTF-16"),
            Self::Der => write!(f, "the key is DER, not PEM"),
            Self::Pkcs12 => write!(f, "the key is in PKCS#12, not PEM"),
            Self::NoLineBreaks => write!(
                f,
                "the line breaks of the PEM text are written as \\n, as in JSON or a variable"
            ),
            Self::Truncated => {
                write!(
                    f,
                    "the PEM text has no -----END line that matches its -----BEGIN line"
                )
            }
            Self::NotBase64 => write!(
                f,
                "the PEM text is not base64 between its BEGIN and END lines"
            ),
            Self::Encrypted => write!(f, "the private key is encrypted"),
            Self::PublicKey => write!(f, "this is a public key, which can only verify"),
            Self::Certificate => {
                write!(f, "this is a certificate, which contains only a public key")
            }
            Self::OpenSsh => write!(f, "the private key is in OpenSSH's own form"),
            Self::OtherPem(label) => {
                write!(f, "the PEM text contains {label:?} and no private key")
            }
            Self::RsaForEs256 => write!(f, "this is an RSA key, which cannot sign ES256"),
            Self::EcForRs256 => write!(f, "this is an elliptic-curve key, which cannot sign RS256"),
            Self::RsaSize { bits } => {
                write!(
                    f,
                    "the RSA key has {bits} bits and must have 2048, 3072 or 4096"
                )
            }
            Self::RsaForm(form) => {
                write!(f, "the RSA key has {form}, which is not supported")
            }
            Self::Curve(curve) => write!(f, "the key is on {curve}, and ES256 needs P-256"),
            Self::NoPublicPoint => {
                write!(
                    f,
                    "the public point is missing from the elliptic-curve key, or compressed"
                )
            }
            Self::UnsupportedKind(kind) => {
                write!(f, "the service does not support this kind of key: {kind}")
            }
            Self::Malformed(reason) => {
                write!(f, "the private key is malformed or damaged ({reason})")
            }
        }?;
        write!(f, "; {}", self.remedy())
    }
}

impl KeyError {
    const fn remedy(&self) -> &'static str {
        match self {
            Self::Empty | Self::NotPem | Self::OtherPem(_) => {
                "use a private key as PEM text, in PKCS#8, PKCS#1 or SEC1"
            }
            Self::Der => "convert it with `openssl pkey -inform DER -in KEY -out KEY.pem`",
            Self::Utf16 => "save it as UTF-8 or ASCII",
            Self::Pkcs12 => "convert it with `openssl pkcs12 -nocerts -nodes -in KEY -out KEY.pem`",
            Self::OpenSsh => {
                "if it is RSA or on P-256, convert a copy with `ssh-keygen -p -N '' -m PEM -f COPY`"
            }
            Self::NoLineBreaks => "restore them, or read the key from a file",
            Self::Truncated | Self::NotBase64 => "use the complete, undamaged file",
            Self::Encrypted => "decrypt it with `openssl pkey -in KEY -out DECRYPTED`",
            Self::PublicKey | Self::Certificate => "use the private key that belongs to it",
            Self::RsaForEs256 => "choose RS256",
            Self::EcForRs256 => "choose ES256, if it is on P-256",
            Self::RsaSize { .. } | Self::RsaForm(_) => {
                "generate and register a new key with `openssl genpkey -algorithm RSA -pkeyopt \
                 rsa_keygen_bits:2048`"
            }
            Self::Curve(_) => {
                "generate and register a new key with `openssl ecparam -genkey -name prime256v1`"
            }
            Self::NoPublicPoint => {
                "rewrite it with `openssl ec -conv_form uncompressed -in KEY -out NEW`"
            }
            Self::UnsupportedKind(_) => "use an RSA key for RS256, or one on P-256 for ES256",
            Self::Malformed(_) => "check it with `openssl pkey -check -noout -in KEY`",
        }
    }
}

impl Error for KeyError {}
