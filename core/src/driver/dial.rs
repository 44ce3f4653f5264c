//! The stages towards a connection: a token, the addresses of the host or its proxy, TCP, the tunnel through the proxy, and
//! TLS. Each has its own time limit.

mod addresses;
mod lookup;
mod race;

use core::net::SocketAddr;
use std::{io, sync::Arc};

use self::{addresses::Addresses, lookup::Lookup};
use crate::{
    driver::{
        Target,
        dial_failure::DialFailure,
        environment::RuntimeEnvironment,
        proxy::{Proxy, ProxyError},
        runtime::{Runtime, within},
        tls::Checked,
        tokens::TokenSource,
        transport::Transport,
        transport_error::TransportError,
    },
    time::Duration,
    token::Token,
};

/// Dials, and keeps what the next attempt needs to know of the earlier ones.
#[derive(Default)]
pub(crate) struct Dialer {
    lookup: Lookup,
    addresses: Addresses,
}

/// A transport, and what it was made with.
pub(crate) struct Dialed<S> {
    pub(crate) token: Token,
    pub(crate) transport: Transport<S>,
    /// Where it leads.
    pub(crate) address: SocketAddr,
}

impl Dialer {
    /// Fetches a token, resolves the host or its proxy anew, connects to the first of its addresses that accepts, asks the
    /// proxy for a tunnel, and does the TLS handshake. Tell the dialer with [`judge`](Self::judge) how the connection went on.
    pub(crate) async fn dial<R: Runtime, T: TokenSource>(
        &mut self,
        environment: &Arc<RuntimeEnvironment<R, T>>,
        target: &Target,
    ) -> Result<Dialed<R::Stream>, TransportError> {
        let token = environment
            .gateway_token()
            .await
            .map_err(TransportError::Token)?;
        let (host, port) = target.first_hop();
        let reached = self.reach(environment, host, port).await;
        let (address, stream) = reached.map_err(|failure| target.unreachable(failure))?;
        match secure(environment, target, address, stream).await {
            Ok(transport) => Ok(Dialed {
                token,
                transport,
                address,
            }),
            Err(error) => {
                self.judge(address, false);
                Err(error)
            }
        }
    }

    /// Records whether the bridge accepted a connection to this address: if not, the address goes last next time.
    pub(crate) fn judge(&mut self, address: SocketAddr, was_accepted: bool) {
        if was_accepted {
            self.addresses.forget(address);
        } else {
            self.addresses.add_failed(address, true);
        }
    }

    /// Resolves a host and connects over TCP.
    async fn reach<R: Runtime, T: TokenSource>(
        &mut self,
        environment: &Arc<RuntimeEnvironment<R, T>>,
        host: &str,
        port: u16,
    ) -> Result<(SocketAddr, R::Stream), DialFailure> {
        let (runtime, limit) = (environment.runtime(), environment.step_timeout());
        let lookup = self.lookup.resolve(runtime, host, port);
        let resolved = within(&**runtime, limit, lookup)
            .await
            .ok_or(DialFailure::LookupTimedOut(limit))?
            .map_err(DialFailure::Lookup)?;
        let candidates = self.addresses.candidates(&resolved);
        if candidates.is_empty() {
            return Err(DialFailure::NoAddress);
        }
        let (won, failed) = race::run(environment, candidates).await;
        for (address, _) in &failed {
            self.addresses.add_failed(*address, false);
        }
        won.ok_or(DialFailure::Unreachable(failed))
    }
}

impl Target {
    /// Returns the host and port to connect to.
    fn first_hop(&self) -> (&str, u16) {
        match &self.proxy {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (&self.host, self.port),
        }
    }

    /// Returns the error of a first hop that cannot be reached.
    fn unreachable(&self, failure: DialFailure) -> TransportError {
        match &self.proxy {
            Some(proxy) => self.untunnelled(proxy, ProxyError::Dial(failure)),
            None => TransportError::Dial {
                host: self.host.clone(),
                port: self.port,
                source: failure,
            },
        }
    }

    /// Returns the error of a proxy that opens no tunnel.
    fn untunnelled(&self, proxy: &Proxy, source: ProxyError) -> TransportError {
        TransportError::Proxy {
            proxy: proxy.to_string(),
            host: self.host.clone(),
            port: self.port,
            source,
        }
    }
}

/// Asks the proxy for a tunnel, if there is one, and does the TLS handshake, if there is to be TLS.
async fn secure<R: Runtime, T: TokenSource>(
    environment: &Arc<RuntimeEnvironment<R, T>>,
    target: &Target,
    address: SocketAddr,
    stream: R::Stream,
) -> Result<Transport<R::Stream>, TransportError> {
    let (runtime, limit) = (&**environment.runtime(), environment.step_timeout());
    let stream = match &target.proxy {
        Some(proxy) => {
            let tunnel = proxy.tunnel(stream, &target.host, target.port);
            let opened = within(runtime, limit, tunnel).await;
            opened
                .unwrap_or(Err(ProxyError::TimedOut(limit)))
                .map_err(|source| target.untunnelled(proxy, source))?
        }
        None => stream,
    };
    let Checked::Tls(tls, name) = &target.security else {
        return Ok(Transport::Plain(stream));
    };
    let handshake = tls.handshake(name.clone(), stream);
    let secured = within(runtime, limit, handshake).await;
    let stream = secured
        .unwrap_or_else(|| Err(timed_out("complete handshake", limit)))
        .map_err(|source| TransportError::Tls {
            host: target.host.clone(),
            proxy: target.proxy.as_ref().map(ToString::to_string),
            address,
            source,
        })?;
    Ok(Transport::Tls(Box::new(stream)))
}

/// Returns the error of a stage that did not end within this time.
fn timed_out(missing: &str, limit: Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no {missing} within {limit:?}"),
    )
}
