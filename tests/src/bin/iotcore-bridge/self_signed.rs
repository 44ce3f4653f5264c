//! A CA in a folder, which stays the same from one start to the next, and a server certificate signed by it at each.

use core::ops::Range;
use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use iotcore_gateway_testkit::keys::{Authority, ServerIdentity};
use iotcore_gateway_testkit::serve::tls::CertificateFlaw;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::files;

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

/// How long a new CA is valid: ten years, as others that are made on the spot.
const CA_VALIDITY: u64 = 3_652 * DAY;

/// How long a server certificate is valid: less than the 825 days above which Apple's systems refuse it.
const SERVER_VALIDITY: u64 = 397 * DAY;

/// How long another program that is creating the CA has for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A server certificate and the CA in the folder that signed it.
pub(crate) struct SelfSigned {
    pub(crate) identity: ServerIdentity,
    pub(crate) ca: PathBuf,
    /// Whether the CA was created now, so that clients do not know it yet.
    pub(crate) is_new: bool,
}

impl SelfSigned {
    /// Signs a certificate for a server with these names, and creates the CA if the folder has none.
    ///
    /// # Errors
    /// A CA that cannot be used, or the system's.
    pub(crate) fn create(folder: &Path, names: &[String], unix_now: u64) -> Result<Self, String> {
        files::create_folder(folder)?;
        let (ca, key) = (folder.join("ca.pem"), folder.join("ca.key"));
        let generated = Authority::generate(Some(validity(unix_now, CA_VALIDITY)))
            .map_err(|error| format!("cannot generate a CA: {error}"))?;
        let is_new = match files::write_private(&key, &generated.key_pem) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(format!("cannot write {}: {error}", key.display())),
        };
        let authority = if is_new {
            publish(&ca, &key, &generated.certificate_pem)?;
            generated
        } else {
            find(&ca, &key)?
        };
        check_authority(&authority, &ca, unix_now)?;
        let identity = authority
            .sign(names, Some(validity(unix_now, SERVER_VALIDITY)))
            .map_err(|error| format!("{} cannot sign: {error}", key.display()))?;
        check_pair(&identity, unix_now).map_err(|error| {
            let (ca, key) = (ca.display(), key.display());
            format!("{key} is not the key of {ca} ({error}): remove both to have new ones made")
        })?;
        Ok(Self {
            identity,
            ca,
            is_new,
        })
    }
}

/// Returns the seconds from a day ago, because a client's clock may be behind, to this time in the future.
fn validity(unix_now: u64, seconds: u64) -> Range<u64> {
    unix_now.saturating_sub(DAY)..unix_now + seconds
}

/// Writes the certificate of a new CA after its key, in one step, so that others who see it find both complete.
fn publish(ca: &Path, key: &Path, certificate_pem: &str) -> Result<(), String> {
    let write = || {
        if ca.exists() {
            return Err(format!(
                "{} exists without its ca.key, and is not overwritten: give another folder to --tls-self-signed, or \
                 remove it",
                ca.display()
            ));
        }
        let unfinished = ca.with_extension("unfinished");
        fs::write(&unfinished, certificate_pem)
            .and_then(|()| fs::rename(&unfinished, ca))
            .map_err(|error| format!("cannot write {}: {error}", ca.display()))
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(key);
    })
}

/// Reads the CA of a folder, which another program may be creating.
fn find(ca: &Path, key: &Path) -> Result<Authority, String> {
    let mut waited = Duration::ZERO;
    while !ca.exists() {
        if waited >= PATIENCE {
            return Err(format!(
                "{} exists without its ca.pem: remove it to have both made",
                key.display()
            ));
        }
        thread::park_timeout(PAUSE);
        waited += PAUSE;
    }
    Ok(Authority {
        certificate_pem: files::read(ca)?,
        key_pem: files::read(key)?,
    })
}

/// Checks that a certificate is a CA's and is valid for another day.
fn check_authority(authority: &Authority, ca: &Path, unix_now: u64) -> Result<(), String> {
    let ca = ca.display();
    match CertificateFlaw::of(&authority.certificate_pem, unix_now + DAY) {
        Some(CertificateFlaw::IsAuthority) => Ok(()),
        Some(CertificateFlaw::Expired) => Err(format!(
            "{ca} has expired, or does within a day: remove it and its ca.key to have new ones made, and give \
             clients the new ca.pem"
        )),
        Some(flaw @ CertificateFlaw::NotYetValid) => Err(format!("{ca} {flaw}")),
        _ => Err(format!("{ca} is not the certificate of a CA")),
    }
}

/// Checks that clients that trust the CA accept the server's certificate.
fn check_pair(identity: &ServerIdentity, unix_now: u64) -> Result<(), String> {
    let parse = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes());
    let ca = parse(&identity.ca_pem).map_err(|error| error.to_string())?;
    let server = parse(&identity.certificate_pem).map_err(|error| error.to_string())?;
    let check = || {
        let anchors = [anchor_from_trusted_cert(&ca)?];
        let server = EndEntityCert::try_from(&server)?;
        let verified = server.verify_for_usage(
            ring::default_provider()
                .signature_verification_algorithms
                .all,
            &anchors,
            &[],
            UnixTime::since_unix_epoch(Duration::from_secs(unix_now)),
            KeyUsage::server_auth(),
            None,
            None,
        );
        verified.map(|_| ())
    };
    check().map_err(|error: webpki::Error| error.to_string())
}
