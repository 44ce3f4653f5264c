//! Asks a SOCKS5 proxy for a tunnel (RFC 1928), with a user name and a password if there are any (RFC 1929).

use core::net::IpAddr;

use futures_io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use super::{
    Credentials, ProxyError,
    stream::{read_exact, write_all},
};

const VERSION: u8 = 5;

/// Methods of authentication.
const NONE: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;

/// The version of the authentication by password.
const PASSWORD_VERSION: u8 = 1;

const CONNECT: u8 = 1;

/// Types of addresses.
const V4: u8 = 1;
const NAME: u8 = 3;
const V6: u8 = 4;

/// Asks for a tunnel to `host`. All that follows on the stream belongs to the tunnel.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
    port: u16,
    credentials: Option<&Credentials>,
) -> Result<(), ProxyError> {
    let request = request(host, port)?;
    authenticate(stream, credentials).await?;
    write_all(stream, &request).await?;
    read_reply(stream).await
}

/// Returns the request for a tunnel. A name is left to the proxy to resolve.
fn request(host: &str, port: u16) -> Result<Vec<u8>, ProxyError> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(V4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(V6);
            request.extend(address.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len());
            let length = length.map_err(|_| ProxyError::NameTooLong(host.len()))?;
            request.extend([NAME, length]);
            request.extend(host.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

/// Offers no authentication, and that by password if there are credentials; does what the proxy chooses.
async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    credentials: Option<&Credentials>,
) -> Result<(), ProxyError> {
    let offer: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, NONE, PASSWORD],
        None => &[VERSION, 1, NONE],
    };
    write_all(stream, offer).await?;
    let mut chosen = [0; 2];
    read_exact(stream, &mut chosen).await?;
    match (chosen, credentials) {
        ([VERSION, NONE], _) => Ok(()),
        ([VERSION, PASSWORD], Some(credentials)) => send_password(stream, credentials).await,
        ([VERSION, NO_METHOD], Some(_)) => Err(ProxyError::AuthenticationUnsupported(None)),
        ([VERSION, NO_METHOD | PASSWORD], None) => Err(ProxyError::CredentialsRequired),
        _ => Err(ProxyError::NotSocks5),
    }
}

async fn send_password<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    credentials: &Credentials,
) -> Result<(), ProxyError> {
    write_all(stream, &credentials.socks5()).await?;
    let mut answer = [0; 2];
    read_exact(stream, &mut answer).await?;
    // Some proxies answer with the version of SOCKS instead of that of the authentication.
    match answer {
        [PASSWORD_VERSION | VERSION, 0] => Ok(()),
        [PASSWORD_VERSION | VERSION, _] => Err(ProxyError::CredentialsRefused),
        _ => Err(ProxyError::NotSocks5),
    }
}

impl Credentials {
    /// Returns the request for authentication, which is wiped from memory when it is dropped.
    fn socks5(&self) -> Zeroizing<Vec<u8>> {
        // Checked when they were set.
        let length = |part: &str| u8::try_from(part.len()).unwrap_or(u8::MAX);
        let parts = [
            &[PASSWORD_VERSION, length(&self.user)],
            self.user.as_bytes(),
            &[length(&self.password)],
            self.password.as_bytes(),
        ];
        // In its final size at once, so that no copy is left behind.
        Zeroizing::new(parts.concat())
    }
}

/// Reads the answer to the request, with the address that the proxy connects from, which does not matter.
async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), ProxyError> {
    // Some proxies send no more than this with a refusal.
    let mut begun = [0; 2];
    read_exact(stream, &mut begun).await?;
    match begun {
        [VERSION, 0] => {}
        [VERSION, code] => return Err(ProxyError::Reply(code)),
        _ => return Err(ProxyError::NotSocks5),
    }
    let mut kind = [0; 2];
    read_exact(stream, &mut kind).await?;
    let address_bytes = match kind {
        [_, V4] => 4,
        [_, V6] => 16,
        [_, NAME] => {
            let mut length = [0];
            read_exact(stream, &mut length).await?;
            let [length] = length;
            usize::from(length)
        }
        _ => return Err(ProxyError::NotSocks5),
    };
    let mut address_and_port = vec![0; address_bytes + 2];
    read_exact(stream, &mut address_and_port).await
}
