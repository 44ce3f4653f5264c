//! What is wrong with a server's certificate, and what to do about it.

use core::{fmt, net::IpAddr};

use rustls::{CertificateError, Error, ExtendedKeyPurpose};

use super::{
    algorithm_advice, signature_problem::SignatureProblem, unknown_ca::UnknownCa, utc::Utc,
};

/// The error of rustls-platform-verifier for a certificate that is meant for something else, of a type that it keeps to
/// itself.
const PLATFORM_PURPOSE: &str = "certificate had invalid extensions";

/// How many names of a certificate are shown.
const MAX_NAMES: usize = 4;

/// Returns whether the server's CA is unknown, or one of the same name and another key is trusted.
pub(super) fn is_ca_unknown(problem: &CertificateError) -> bool {
    match problem {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(other) => {
            matches!(other.0.downcast_ref(), Some(SignatureProblem::OtherCaKey))
                || other.0.is::<UnknownCa>()
        }
        _ => false,
    }
}

/// Returns the name of what is wrong with a certificate.
pub(in crate::driver) fn name(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.to_string(),
        Error::InvalidCertificate(problem) => problem.to_string(),
        other => other.to_string(),
    }
}

pub(super) fn of_certificate(
    problem: &CertificateError,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match problem {
        CertificateError::ExpiredContext { time, not_after } => write!(
            f,
            "the server's certificate, or one that it was issued with, expired on {}: renew it; this machine's date is {}, \
             which must be right",
            Utc(*not_after),
            Utc(*time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => write!(
            f,
            "the server's certificate, or one that it was issued with, is not valid before {}, and this machine's date is \
             {}: set the date if it is wrong",
            Utc(*not_before),
            Utc(*time)
        ),
        CertificateError::ExpiredRevocationListContext { next_update, .. } => write!(
            f,
            "the certificate revocation list in the TLS settings was to be replaced by {}: get a new one",
            Utc(*next_update)
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            f.write_str("its certificate is not for this host: it is for ")?;
            of_names(presented, f)?;
            f.write_str("; check the host, or let the server present a certificate for it")
        }
        CertificateError::InvalidPurposeContext {
            required,
            presented,
        } => {
            f.write_str("the server's certificate is not meant for ")?;
            match (required, presented.as_slice()) {
                (ExtendedKeyPurpose::ServerAuth, []) => f.write_str("servers")?,
                (ExtendedKeyPurpose::ServerAuth, [ExtendedKeyPurpose::ClientAuth]) => {
                    f.write_str("servers, only for clients")?;
                }
                _ => write!(f, "{required}")?,
            }
            f.write_str(": let the server present one that is (extended key usage serverAuth)")
        }
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id,
            ..
        } => algorithm_advice::of_signature(signature_algorithm_id, f),
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            public_key_algorithm_id,
            ..
        } => algorithm_advice::of_ca_key(public_key_algorithm_id, f),
        #[expect(deprecated, reason = "a verifier in the TLS settings may return it")]
        CertificateError::UnsupportedSignatureAlgorithm => algorithm_advice::of_signature(&[], f),
        CertificateError::Other(other) => {
            if let Some(problem) = other.0.downcast_ref::<SignatureProblem>() {
                return write!(f, "{problem}");
            }
            if let Some(problem) = other.0.downcast_ref::<UnknownCa>() {
                return write!(f, "{problem}");
            }
            match other.0.downcast_ref::<webpki::Error>() {
                Some(problem) => f.write_str(of_chain(problem))?,
                None if other.to_string() == PLATFORM_PURPOSE => f.write_str(PURPOSE)?,
                None => f.write_str(OTHER)?,
            }
            write!(f, " ({other})")
        }
        other => f.write_str(without_context(other)),
    }
}

/// Lists the first names of a certificate. rustls makes texts of them such as `DnsName("example.org")`.
fn of_names(presented: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let inner = |name: &str, kind| {
        let inner = name.strip_prefix(kind)?.strip_suffix(')')?;
        Some(inner.trim_matches('"').to_owned())
    };
    let of_host = |name: &String| match inner(name, "DnsName(") {
        Some(name) if name.parse::<IpAddr>().is_ok() => Some(format!(
            "a DNS name {name} (an address has to be an `IP` there)"
        )),
        Some(name) => Some(name.escape_debug().to_string()),
        None => inner(name, "IpAddress("),
    };
    let mut names = presented.iter().filter_map(of_host);
    let shown: Vec<_> = names.by_ref().take(MAX_NAMES).collect();
    match (shown.is_empty(), names.count()) {
        (true, _) => f.write_str("none (a common name does not count)"),
        (false, 0) => f.write_str(&shown.join(", ")),
        (false, more) => write!(f, "{} and {more} more", shown.join(", ")),
    }
}

const PURPOSE: &str = "the server's certificate is not meant for servers: let the server present one that is (extended key \
                       usage serverAuth)";

const OTHER: &str = "the server's certificate is not acceptable: replace it";

fn without_context(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::UnknownIssuer => {
            "its CA is not among the trusted ones: trust the CA that issued its certificate, or check the host; or the \
             server leaves out the intermediate certificates"
        }
        CertificateError::BadSignature => {
            "a signature of the server or of its certificate does not fit its key: the trusted CA of the issuer's name has \
             another key, an RSA key has less than 2048 bits, or the server's key is not the one of its certificate"
        }
        CertificateError::BadEncoding => "the server's certificate is damaged: replace it",
        CertificateError::Expired => {
            "the server's certificate, or one that it was issued with, has expired: renew it, or set this machine's date \
             if it is wrong"
        }
        CertificateError::NotValidYet => {
            "the server's certificate, or one that it was issued with, is not valid yet: set this machine's date if it is \
             wrong"
        }
        CertificateError::NotValidForName => {
            "its certificate is not for this host: check the host, or let the server present a certificate for it"
        }
        CertificateError::Revoked => {
            "the server's certificate has been revoked: do not trust it, and let the server present a new one"
        }
        CertificateError::UnhandledCriticalExtension => CRITICAL,
        CertificateError::UnknownRevocationStatus => {
            "the certificate revocation lists in the TLS settings do not cover the server's certificate: add its CA's"
        }
        CertificateError::ExpiredRevocationList => {
            "the certificate revocation list in the TLS settings is out of date: get a new one"
        }
        CertificateError::InvalidPurpose => PURPOSE,
        CertificateError::InvalidOcspResponse => {
            "the server's proof that its certificate is not revoked (OCSP) is not valid: correct the server's OCSP stapling"
        }
        CertificateError::ApplicationVerificationFailure => {
            "the verifier in the TLS settings refused the server's certificate: look there for the reason"
        }
        _ => OTHER,
    }
}

const CRITICAL: &str = "the server's certificate, or one that it was issued with, has a critical extension that is not \
                        supported: have it issued without";

/// Describes the errors that rustls has no name for.
fn of_chain(problem: &webpki::Error) -> &'static str {
    use webpki::Error as Chain;
    match problem {
        Chain::CaUsedAsEndEntity => {
            "the server presents a CA certificate as its own: let it present one with `basicConstraints` CA:FALSE (`openssl \
             req -x509` makes a CA certificate unless it gets `-addext basicConstraints=critical,CA:FALSE`)"
        }
        Chain::EndEntityUsedAsCa => {
            "the server's certificate was issued with a certificate of no CA: have it issued by a CA \
             (`basicConstraints` CA:TRUE)"
        }
        Chain::NameConstraintViolation => {
            "the server's CA may not issue certificates for this name (`nameConstraints`): have it issued by another CA"
        }
        Chain::PathLenConstraintViolated => {
            "the server's certificate has more intermediate CAs than one of them permits (`pathlen`): have it issued by a \
             CA that may"
        }
        Chain::UnsupportedCertVersion => {
            "the server's certificate is not X.509 version 3: have it issued anew, with `subjectAltName`"
        }
        Chain::UnsupportedCriticalExtension => CRITICAL,
        Chain::MaximumPathBuildCallsExceeded
        | Chain::MaximumPathDepthExceeded
        | Chain::MaximumSignatureChecksExceeded
        | Chain::MaximumNameConstraintComparisonsExceeded => {
            "the server presents too many certificates to find a way to a trusted CA: let it present its own and the \
             intermediate ones alone"
        }
        _ => {
            "the server's certificate, or one that it was issued with, is malformed: have it issued anew"
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::Arc;

    use rustls::{
        OtherError,
        pki_types::{ServerName, UnixTime},
    };

    use super::*;

    struct Shown<'a>(&'a CertificateError);

    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            of_certificate(self.0, f)
        }
    }

    fn check(problem: CertificateError, parts: &[&str]) {
        let shown = Shown(&problem).to_string();
        for part in parts {
            assert!(
                shown.contains(part),
                "{problem:?}: {part:?} is not in {shown}"
            );
        }
    }

    fn time(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn dates_names_and_purposes_are_told_as_the_certificate_has_them() {
        let (time, later) = (time(1_795_917_155), time(1_798_761_599));
        check(
            CertificateError::ExpiredContext {
                time: later,
                not_after: time,
            },
            &[
                "expired on 2026-11-29 01:52:35 UTC",
                "this machine's date is 2026-12-31 23:59:59 UTC",
            ],
        );
        check(
            CertificateError::NotValidYetContext {
                time,
                not_before: later,
            },
            &[
                "not valid before 2026-12-31 23:59:59 UTC",
                "date is 2026-11-29 01:52:35 UTC",
            ],
        );
        check(
            CertificateError::ExpiredRevocationListContext {
                time: later,
                next_update: time,
            },
            &["revocation list in the TLS settings", "2026-11-29"],
        );
        let name = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("localhost").unwrap(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        check(
            name(&["DnsName(\"a.example\")", "IpAddress(127.0.0.1)"]),
            &["not for this host: it is for a.example, 127.0.0.1; check the host"],
        );
        check(
            name(&[]),
            &["it is for none (a common name does not count)"],
        );
        check(
            name(&[
                "DnsName(\"127.0.0.1\")",
                "UniformResourceIdentifier(\"https://x\")",
            ]),
            &["it is for a DNS name 127.0.0.1 (an address has to be an `IP` there); check"],
        );
        check(
            name(&["DnsName(\"\u{1b}[m\n\")"; 7]),
            &["it is for \\u{1b}[m\\n, ", "\\n and 3 more; check"],
        );
        let purpose = |presented| CertificateError::InvalidPurposeContext {
            required: ExtendedKeyPurpose::ServerAuth,
            presented,
        };
        check(
            purpose(vec![ExtendedKeyPurpose::ClientAuth]),
            &["not meant for servers, only for clients"],
        );
        check(purpose(vec![]), &["not meant for servers: let"]);
        check(
            purpose(vec![ExtendedKeyPurpose::Other(vec![1, 3, 6])]),
            &["not meant for server authentication: let"],
        );
    }

    #[test]
    fn every_other_error_of_a_certificate_has_its_sentence() {
        for (problem, part) in [
            (
                CertificateError::UnknownIssuer,
                "its CA is not among the trusted ones",
            ),
            (
                CertificateError::BadSignature,
                "an RSA key has less than 2048 bits, or the server's key",
            ),
            (CertificateError::BadEncoding, "is damaged"),
            (CertificateError::Expired, "has expired"),
            (CertificateError::NotValidYet, "not valid yet"),
            (CertificateError::NotValidForName, "not for this host"),
            (CertificateError::Revoked, "has been revoked"),
            (
                CertificateError::UnhandledCriticalExtension,
                "critical extension",
            ),
            (CertificateError::UnknownRevocationStatus, "do not cover"),
            (CertificateError::ExpiredRevocationList, "out of date"),
            (CertificateError::InvalidPurpose, "not meant for servers"),
            (CertificateError::InvalidOcspResponse, "OCSP"),
            (
                CertificateError::ApplicationVerificationFailure,
                "the verifier in the TLS settings",
            ),
        ] {
            check(problem, &[part]);
        }
    }

    #[test]
    fn errors_that_rustls_has_no_name_for_are_explained_and_named() {
        use webpki::Error as Chain;
        for (problem, part) in [
            (
                Chain::CaUsedAsEndEntity,
                "presents a CA certificate as its own",
            ),
            (Chain::EndEntityUsedAsCa, "with a certificate of no CA"),
            (Chain::NameConstraintViolation, "nameConstraints"),
            (Chain::PathLenConstraintViolated, "pathlen"),
            (Chain::UnsupportedCertVersion, "not X.509 version 3"),
            (Chain::UnsupportedCriticalExtension, "critical extension"),
            (Chain::MaximumPathDepthExceeded, "too many certificates"),
            (Chain::ExtensionValueInvalid, "malformed"),
        ] {
            let named = format!("({problem})");
            let other = CertificateError::Other(OtherError(Arc::new(problem)));
            check(other, &[part, &named]);
        }
        let purpose = std::io::Error::other(PLATFORM_PURPOSE);
        check(
            CertificateError::Other(OtherError(Arc::new(purpose))),
            &["not meant for servers"],
        );
        let odd = std::io::Error::other("it rains");
        check(
            CertificateError::Other(OtherError(Arc::new(odd))),
            &["not acceptable", "(it rains)"],
        );
    }
}
