//! The stages towards a connection: a token, the host's addresses, TCP, and TLS. Each has its own time limit.

mod addresses;
mod lookup;
mod race;

use core::net::SocketAddr;
use std::{io, sync::Arc};

use futures_rustls::TlsConnector;

use self::{addresses::Addresses, lookup::Lookup};
use crate::{
    driver::{
        Target,
        environment::RuntimeEnvironment,
        error::{DialFailure, TransportError},
        runtime::{Runtime, within},
        tls::Checked,
        tokens::TokenSource,
        transport::Transport,
    },
    time::Duration,
    token::Token,
};

/// How many bytes TLS takes that the socket has not taken: a record of the largest size. What it has taken, nothing can
/// overtake or cancel any more.
const MAX_UNSENT: usize = 16 * 1024;

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
    /// Fetches a token, resolves the host anew, connects to the first of its addresses that accepts, and does the TLS
    /// handshake. Tell the dialer with [`judge`](Self::judge) how the connection went on.
    pub(crate) async fn dial<R: Runtime, T: TokenSource>(
        &mut self,
        environment: &Arc<RuntimeEnvironment<R, T>>,
        target: &Target,
    ) -> Result<Dialed<R::Stream>, TransportError> {
        let token = environment
            .gateway_token()
            .await
            .map_err(TransportError::Token)?;
        let reached = self.reach(environment, target).await;
        let (address, stream) = reached.map_err(|source| TransportError::Dial {
            host: target.host.clone(),
            port: target.port,
            source,
        })?;
        let secured = secure(environment, target, stream).await;
        let transport = secured.map_err(|source| {
            self.judge(address, false);
            TransportError::Tls {
                host: target.host.clone(),
                source,
            }
        })?;
        Ok(Dialed {
            token,
            transport,
            address,
        })
    }

    /// Records whether the bridge accepted a connection to this address: if not, the address goes last next time.
    pub(crate) fn judge(&mut self, address: SocketAddr, was_accepted: bool) {
        if was_accepted {
            self.addresses.forget(address);
        } else {
            self.addresses.add_failed(address, true);
        }
    }

    /// Resolves the host and connects over TCP.
    async fn reach<R: Runtime, T: TokenSource>(
        &mut self,
        environment: &Arc<RuntimeEnvironment<R, T>>,
        target: &Target,
    ) -> Result<(SocketAddr, R::Stream), DialFailure> {
        let (runtime, limit) = (environment.runtime(), environment.step_timeout());
        let lookup = self.lookup.resolve(runtime, &target.host, target.port);
        let resolved = within(&**runtime, limit, lookup)
            .await
            .ok_or(DialFailure::LookupTimedOut(limit))?
            .map_err(DialFailure::Lookup)?;
        let candidates = self.addresses.candidates(&resolved);
        if candidates.is_empty() {
            return Err(DialFailure::NoAddress);
        }
        let raced = race::run(environment, candidates).await;
        raced.map_err(|failed| {
            for (address, _) in &failed {
                self.addresses.add_failed(*address, false);
            }
            DialFailure::Unreachable(failed)
        })
    }
}

/// Does the TLS handshake, if there is to be TLS.
async fn secure<R: Runtime, T: TokenSource>(
    environment: &Arc<RuntimeEnvironment<R, T>>,
    target: &Target,
    stream: R::Stream,
) -> io::Result<Transport<R::Stream>> {
    let Checked::Tls(tls, name) = &target.security else {
        return Ok(Transport::Plain(stream));
    };
    let limit = environment.step_timeout();
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let handshake = connector.connect_with(name.clone(), stream, |tls| {
        tls.set_buffer_limit(Some(MAX_UNSENT));
    });
    let secured = within(&**environment.runtime(), limit, handshake).await;
    let stream = secured.unwrap_or_else(|| Err(timed_out(limit)))?;
    Ok(Transport::Tls(Box::new(stream)))
}

/// Returns the error of a peer that has not answered within this time.
fn timed_out(limit: Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no answer within {limit:?}"),
    )
}
