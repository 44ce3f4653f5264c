//! Serves the emulator on TCP and TLS: two threads per connection, no async runtime.
//!
//! ```
//! use iotcore_gateway_testkit::keys::{DeviceKey, ServerIdentity};
//! use iotcore_gateway_testkit::serve::{Server, tls};
//! use iotcore_gateway_testkit::{AuthMethod, Registry, Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = DeviceKey::generate()?;
//! let mut registry = Registry::new("my-project", "us-central1", "my-registry")?;
//! registry.add_gateway("my-gateway", &[&key.public_pem], AuthMethod::AssociationOnly)?;
//! registry.add_device("my-sensor", &[])?;
//! registry.bind("my-gateway", "my-sensor")?;
//!
//! let identity = ServerIdentity::generate()?;
//! let tls = tls::server_config(&identity.certificate_pem, &identity.key_pem)?;
//! let events = |event: &_| assert_ne!(format!("{event}"), "");
//! let server = Server::start(registry, Settings::default(), "127.0.0.1:0", Some(tls), events)?;
//! assert_ne!(server.local_addr().port(), 0);
//! server.with(|bridge, now| bridge.send_config("my-sensor", "on", now))?;
//! server.shutdown();
//! # Ok(())
//! # }
//! ```

mod accept;
mod connection;
mod handshake;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod tls;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;

use crate::bridge::event::Event;
use crate::{Bridge, Registry, Settings};
use accept::Refusals;
use tls::CertificateFlaw;

/// The default of [`ServerOptions::max_connections`].
pub const MAX_CONNECTIONS: usize = 1_024;

/// The time that clients have to read the rest and to close their side when the server stops.
const STOP_GRACE: Duration = Duration::from_millis(250);

/// How often a stopping server tries again to wake the thread that accepts connections.
const WAKE_INTERVAL: Duration = Duration::from_millis(50);

/// How a server serves its clients.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The configuration of TLS; `None` for TCP without TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// What is wrong with the certificate in `tls`, to explain to the operator why clients refuse it.
    pub certificate_flaw: Option<CertificateFlaw>,
    /// The maximum number of connections at a time. Further ones are closed at once, and reported as
    /// [`TransportFailed`](crate::EventKind::TransportFailed), at most once a second.
    pub max_connections: usize,
}

/// A listening bridge. Stops when it is dropped.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

/// The state that the threads share.
struct Shared {
    state: Mutex<ServerState>,
    /// Notified after every change of the state.
    changed: Condvar,
}

struct ServerState {
    bridge: Bridge,
    on_event: Box<dyn FnMut(&Event) + Send>,
    /// The transports that are not closed on both sides, by the client's address.
    sockets: BTreeMap<SocketAddr, Arc<TcpStream>>,
    refusals: Refusals,
    is_listening: bool,
    is_stopping: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            tls: None,
            certificate_flaw: None,
            max_connections: MAX_CONNECTIONS,
        }
    }
}

impl Server {
    /// Listens on an address (port 0 for a free one) and serves the registry there, over TLS if there is a
    /// configuration for it.
    ///
    /// Every event is passed to `on_event` in order, while everything else waits: it should return quickly, and must
    /// not call the server.
    ///
    /// # Errors
    /// The server cannot listen on the address.
    pub fn start(
        registry: Registry,
        settings: Settings,
        address: impl ToSocketAddrs,
        tls: Option<Arc<ServerConfig>>,
        on_event: impl FnMut(&Event) + Send + 'static,
    ) -> io::Result<Self> {
        let options = ServerOptions {
            tls,
            ..ServerOptions::default()
        };
        Self::start_with(registry, settings, address, options, on_event)
    }

    /// Does what [`start`](Self::start) does, with options.
    ///
    /// # Errors
    /// The server cannot listen on the address, or the system has no threads for it.
    pub fn start_with(
        registry: Registry,
        settings: Settings,
        address: impl ToSocketAddrs,
        options: ServerOptions,
        on_event: impl FnMut(&Event) + Send + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(ServerState {
                bridge: Bridge::new(registry, settings, now(), unix_now()),
                on_event: Box::new(on_event),
                sockets: BTreeMap::new(),
                refusals: Refusals::default(),
                is_listening: true,
                is_stopping: false,
            }),
            changed: Condvar::new(),
        });
        let (timers, accepts) = (Arc::clone(&shared), Arc::clone(&shared));
        let accepting =
            thread::Builder::new().spawn(move || accept::run(&accepts, listener, &options))?;
        let mut server = Self {
            shared,
            address,
            threads: vec![accepting],
        };
        let timing = thread::Builder::new().spawn(move || timers.run_timers())?;
        server.threads.push(timing);
        Ok(server)
    }

    /// Returns the address on which the server listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accesses the bridge between two inputs: for an operator's command or an inspection.
    pub fn with<R>(&self, act: impl FnOnce(&mut Bridge, Instant) -> R) -> R {
        self.shared.with(act)
    }

    /// Closes all connections and waits for the threads to end, as dropping does. Clients have a quarter of a second to
    /// read the rest and to close their side.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        // In std, only a connection can end a blocking accept.
        let mut own = self.address;
        if own.ip().is_unspecified() {
            own.set_ip(match own {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let is_listening = |state: &ServerState| state.is_listening;
        let accepting = self.threads.first();
        while accepting.is_some_and(|thread| !thread.is_finished())
            && is_listening(&self.shared.lock())
        {
            // It fails while the system has no file descriptors left.
            let wake = TcpStream::connect_timeout(&own, Duration::from_secs(1));
            drop(self.shared.wait_while_for(WAKE_INTERVAL, is_listening));
            drop(wake);
        }
        for thread in self.threads.drain(..) {
            // A panic there has already been printed and does not cause another one here.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn with<R>(&self, act: impl FnOnce(&mut Bridge, Instant) -> R) -> R {
        let mut state = self.lock();
        let result = act(&mut state.bridge, now());
        state.report_events();
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Locks the state. A panic of `on_event` cannot leave the bridge in an inconsistent state.
    fn lock(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while a condition holds, without a time limit.
    fn wait_while(&self, condition: impl Fn(&ServerState) -> bool) -> MutexGuard<'_, ServerState> {
        let state = self
            .changed
            .wait_while(self.lock(), |state| condition(state));
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while a condition holds, at most for the given time.
    fn wait_while_for(
        &self,
        time: Duration,
        condition: impl Fn(&ServerState) -> bool,
    ) -> MutexGuard<'_, ServerState> {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), time, |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn run_timers(&self) {
        let mut state = self.lock();
        while !state.is_stopping {
            let now = now();
            let due = [state.bridge.poll_timeout(), state.refusals.poll_timeout()];
            let due = due.into_iter().flatten().min();
            let wait = due.map(|due| due.saturating_duration_since(now));
            state = match wait {
                None => {
                    let state = self.changed.wait(state);
                    state.unwrap_or_else(PoisonError::into_inner)
                }
                Some(Duration::ZERO) => {
                    state.bridge.handle_timeout(now);
                    state.report_refusals(now);
                    state.report_events();
                    self.changed.notify_all();
                    state
                }
                Some(wait) => {
                    let waited = self.changed.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Reports that a connection is not served: the client, and the reason.
    fn refuse(&self, connection: String) {
        let mut state = self.lock();
        let now = now();
        state.refusals.add(connection);
        state.report_refusals(now);
        state.report_events();
        drop(state);
        self.changed.notify_all();
    }

    /// Ends all connections, in order where a client lets it within the time for that.
    fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        state.bridge.shut_down(now());
        state.report_events();
        drop(state);
        self.changed.notify_all();
        let state = self.wait_while_for(STOP_GRACE, |state| !state.sockets.is_empty());
        for socket in state.sockets.values() {
            // The connection's threads read the end of the stream, if they have not already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl ServerState {
    fn report_events(&mut self) {
        while let Some(event) = self.bridge.poll_event() {
            (self.on_event)(&event);
        }
    }

    fn report_refusals(&mut self, now: Instant) {
        if let Some(reason) = self.refusals.poll_report(now) {
            self.bridge.handle_failed_transport(reason, now);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "here the bridge meets the clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "here the bridge meets the clock")]
fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
