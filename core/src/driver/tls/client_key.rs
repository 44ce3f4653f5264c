//! The private key of a client certificate, in the form that rustls reads.

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::Zeroizing;

use crate::der::{BIT_STRING, Der, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, element};

/// `[0]` and `[1]` of an ECPrivateKey (RFC 5915).
const EC_PARAMETERS: u8 = 0xA0;
const EC_PUBLIC_KEY: u8 = 0xA1;

const EC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
const P_256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const P_384: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x22];

/// Returns the container of a key that its contents show, because scripts mix up the labels.
pub(super) fn container(der: &[u8]) -> Option<PrivateKeyDer<'_>> {
    let mut key = Der(Der(der).take(SEQUENCE)?);
    key.take(INTEGER)?;
    match key.take_any()? {
        (SEQUENCE, _) => Some(PrivatePkcs8KeyDer::from(der).into()),
        (OCTET_STRING, _) => Some(PrivateSec1KeyDer::from(der).into()),
        (INTEGER, _) => Some(PrivatePkcs1KeyDer::from(der).into()),
        _ => None,
    }
}

/// Returns an elliptic-curve key in PKCS#8 as ring reads it, if it has its public key: with a private number of the curve's
/// size, which some tools write without its zeros, and an uncompressed point.
pub(super) fn normalized(der: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut key = Der(Der(sec1(der)?).take(SEQUENCE)?);
    key.take(INTEGER)?;
    let number = key.take(OCTET_STRING)?;
    key.take(EC_PARAMETERS);
    let point = Der(key.take(EC_PUBLIC_KEY)?).take(BIT_STRING)?;
    // A hybrid point contains the uncompressed one.
    let [0, 0x04 | 0x06 | 0x07, coordinates @ ..] = point else {
        return None;
    };
    let curve = match coordinates.len() {
        64 => P_256,
        96 => P_384,
        _ => return None,
    };
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    let (_, digits) = number.split_at(zeros);
    let missing = (coordinates.len() / 2).checked_sub(digits.len())?;
    let number = element(OCTET_STRING, &[[0; 48].get(..missing)?, digits]);
    let point = element(BIT_STRING, &[&[0, 0x04], coordinates]);
    let public = element(EC_PUBLIC_KEY, &[&point]);
    let key = element(SEQUENCE, &[&[INTEGER, 1, 1], &number, &public]);
    let [kind, curve] = [EC_KEY, curve].map(|id| element(OBJECT_IDENTIFIER, &[id]));
    let algorithm = element(SEQUENCE, &[&kind, &curve]);
    let key = element(OCTET_STRING, &[&key]);
    Some(element(SEQUENCE, &[&[INTEGER, 1, 0], &algorithm, &key]))
}

/// Returns the ECPrivateKey of an elliptic-curve key.
fn sec1(der: &[u8]) -> Option<&[u8]> {
    match container(der)? {
        PrivateKeyDer::Sec1(_) => Some(der),
        PrivateKeyDer::Pkcs8(_) => {
            let mut info = Der(Der(der).take(SEQUENCE)?);
            info.take(INTEGER)?;
            let kind = Der(info.take(SEQUENCE)?).take(OBJECT_IDENTIFIER)?;
            let key = info.take(OCTET_STRING)?;
            (kind == EC_KEY).then_some(key)
        }
        _ => None,
    }
}
