//! Connections through a proxy: what it is, and the tunnel that it opens.

mod http;
mod invalid;
mod no_proxy;
mod socks5;
mod stream;
#[cfg(test)]
mod tests;
mod tunnel_error;
mod url;
mod variables;

use core::{fmt, str::FromStr};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::pki_types::ServerName;
use zeroize::Zeroizing;

pub use self::{invalid::InvalidProxy, tunnel_error::ProxyError};

/// A proxy that opens a tunnel to the bridge, by HTTP CONNECT or by SOCKS5. TLS runs inside of the tunnel, with the
/// bridge itself: the proxy sees the bridge's name and port, and no token or message.
///
/// The proxy resolves the bridge's name, because a network that requires a proxy often resolves no names of the outside
/// world.
///
/// ```
/// # use iotcore_gateway::driver::proxy::Proxy;
/// let proxy: Proxy = "socks5://plant:secret@proxy.example".parse()?;
/// assert_eq!(proxy.to_string(), "socks5://proxy.example:1080");
/// let same = Proxy::socks5("proxy.example", 1080)?.credentials("plant", "secret")?;
/// assert_eq!(same, proxy);
/// # Ok::<(), iotcore_gateway::driver::proxy::InvalidProxy>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    protocol: Protocol,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Socks5,
}

/// A user name and a password, which are wiped from memory when they are dropped.
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

impl Proxy {
    /// Returns an HTTP proxy, which is asked to CONNECT, at `host`: a DNS name or an IP address without brackets.
    ///
    /// # Errors
    ///
    /// [`InvalidProxy`] if the host or the port cannot be one.
    pub fn http(host: impl Into<String>, port: u16) -> Result<Self, InvalidProxy> {
        Self::new(Protocol::Http, host.into(), port)
    }

    /// Returns a SOCKS5 proxy (RFC 1928) at `host`: a DNS name or an IP address without brackets.
    ///
    /// # Errors
    ///
    /// [`InvalidProxy`] if the host or the port cannot be one.
    pub fn socks5(host: impl Into<String>, port: u16) -> Result<Self, InvalidProxy> {
        Self::new(Protocol::Socks5, host.into(), port)
    }

    fn new(protocol: Protocol, host: String, port: u16) -> Result<Self, InvalidProxy> {
        if ServerName::try_from(host.as_str()).is_err() {
            return Err(InvalidProxy::Host);
        }
        if port == 0 {
            return Err(InvalidProxy::Port);
        }
        Ok(Self {
            protocol,
            host,
            port,
            credentials: None,
        })
    }

    /// Sets the user name and password, for `Basic` authentication at an HTTP proxy, or that of RFC 1929 at a SOCKS5
    /// proxy. Both cross to the proxy in the clear.
    ///
    /// # Errors
    ///
    /// [`InvalidProxy`] if the protocol cannot carry them: a user name is not empty, and without `:` for HTTP; for SOCKS5
    /// each has at most 255 bytes. Neither contains control characters.
    pub fn credentials(
        mut self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Result<Self, InvalidProxy> {
        let credentials = Credentials {
            user: Zeroizing::new(user.into()),
            password: Zeroizing::new(password.into()),
        };
        credentials.check(self.protocol)?;
        self.credentials = Some(credentials);
        Ok(self)
    }

    /// Returns the proxy that the environment sets for connections to `host`, if any.
    ///
    /// That is `https_proxy`, `HTTPS_PROXY`, `all_proxy` or `ALL_PROXY`, the first that is set and not empty, unless
    /// `no_proxy`, or else `NO_PROXY`, lists the host. Such a list has its items between commas or spaces: `*` for every
    /// host; a domain, with or without a leading dot, for itself and all names in it; an IP address, or a range of them
    /// such as `10.0.0.0/8`, for a host that is given as an address, because names are not resolved for this.
    ///
    /// # Errors
    ///
    /// [`InvalidProxy::Variable`] names the variable that cannot be used.
    pub fn from_env(host: &str) -> Result<Option<Self>, InvalidProxy> {
        variables::proxy_for(host, |name| std::env::var_os(name))
    }

    /// The host to connect to.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Asks the proxy at the other end of `stream` for a tunnel to `host`, and returns the stream as that tunnel. Reads no
    /// byte of what comes through the tunnel.
    pub(crate) async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        host: &str,
        port: u16,
    ) -> Result<S, ProxyError> {
        let credentials = self.credentials.as_ref();
        match self.protocol {
            Protocol::Http => http::connect(&mut stream, host, port, credentials).await?,
            Protocol::Socks5 => socks5::connect(&mut stream, host, port, credentials).await?,
        }
        Ok(stream)
    }
}

impl Credentials {
    /// The lengths of user name and password are one byte each in SOCKS5.
    const MAX_SOCKS5_BYTES: usize = 255;

    fn check(&self, protocol: Protocol) -> Result<(), InvalidProxy> {
        let too_long = |part: &str| part.len() > Self::MAX_SOCKS5_BYTES;
        match protocol {
            _ if self.user.is_empty() => Err(InvalidProxy::User),
            _ if self.user.contains(char::is_control) => Err(InvalidProxy::User),
            _ if self.password.contains(char::is_control) => Err(InvalidProxy::Password),
            Protocol::Http if self.user.contains(':') => Err(InvalidProxy::User),
            Protocol::Socks5 if too_long(&self.user) => Err(InvalidProxy::User),
            Protocol::Socks5 if too_long(&self.password) => Err(InvalidProxy::Password),
            Protocol::Http | Protocol::Socks5 => Ok(()),
        }
    }
}

/// Parses `http://host:port` or `socks5://host:port`, with `user:password@` before the host if the proxy requires them.
///
/// Without a port it is 80 for `http` and 1080 for `socks5`, as in most clients (in curl it is always 1080). Without a
/// scheme it is `http`. An IPv6 address stands in brackets. What a URL cannot contain is percent-encoded in user name and
/// password, such as `%40` for `@`. `socks5h` is the same as `socks5`: the proxy resolves the bridge's name in both.
impl FromStr for Proxy {
    type Err = InvalidProxy;

    fn from_str(url: &str) -> Result<Self, InvalidProxy> {
        url::parse(url)
    }
}

/// The proxy's URL, without user name and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Socks5 => "socks5",
        };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("url", &format_args!("{self}"))
            .field("has_credentials", &self.credentials.is_some())
            .finish()
    }
}
