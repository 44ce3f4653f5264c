//! A verifier that finds out why a certificate or signature could not be verified, beyond what rustls says.

use core::{
    cell::Cell,
    error::Error as StdError,
    future::{Future, poll_fn},
    pin::pin,
};
use std::{io, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{signature_problem::SignatureProblem, unknown_ca::UnknownCa};

type Finding = Arc<dyn StdError + Send + Sync>;

thread_local! {
    /// What was found out in the poll of a handshake that runs on this thread. If the verifier returned it, rustls would know
    /// no better alert for the server than `certificate_unknown`.
    static FOUND: Cell<Option<Finding>> = const { Cell::new(None) };
}

/// Does a handshake, and adds to its error what [`Diagnosing`] found out.
pub(super) async fn diagnosed<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let mut handshake = pin!(handshake);
    // The error may come after the poll that verifies: the alert is sent first.
    let mut found = None;
    poll_fn(|cx| {
        FOUND.set(None);
        let polled = handshake.as_mut().poll(cx);
        found = FOUND.take().or(found.take());
        polled.map_err(|error| match found.take() {
            Some(finding) => {
                let problem = CertificateError::Other(OtherError(finding));
                io::Error::new(error.kind(), Error::from(problem))
            }
            None => error,
        })
    })
    .await
}

/// Verifies what another verifier does, and leaves the reason for an error in [`diagnosed`].
#[derive(Debug)]
pub(super) struct Diagnosing(pub(super) Arc<dyn ServerCertVerifier>);

/// Looks for the reason if a signature of the handshake is not good.
fn diagnose_handshake(
    verified: Result<HandshakeSignatureValid, Error>,
    cert: &CertificateDer<'_>,
) -> Result<HandshakeSignatureValid, Error> {
    if let Err(Error::InvalidCertificate(CertificateError::BadSignature)) = verified {
        FOUND.set(Some(Arc::new(SignatureProblem::of_handshake(cert))));
    }
    verified
}

impl ServerCertVerifier for Diagnosing {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let finding: Option<Finding> = match &verified {
            Err(Error::InvalidCertificate(CertificateError::BadSignature)) => Some(Arc::new(
                SignatureProblem::of_chain(end_entity, intermediates),
            )),
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                Some(Arc::new(UnknownCa::of_chain(end_entity, intermediates)))
            }
            _ => None,
        };
        FOUND.set(finding);
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.0.verify_tls12_signature(message, cert, dss);
        diagnose_handshake(verified, cert)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.0.verify_tls13_signature(message, cert, dss);
        diagnose_handshake(verified, cert)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.0.root_hint_subjects()
    }
}
