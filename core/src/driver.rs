//! The async driver of the state machine (feature `driver`): connections, TLS, timers, and handles for any number of
//! tasks.
//!
//! [`Setup`] configures where, through which [`Proxy`] and as which gateway to connect; [`Setup::start`] returns a
//! [`Client`] and a [`Driver`]. The driver does all the work in the one future of [`Driver::run`], which the user spawns.
//! It runs on any [`Runtime`], spawns no tasks, and reads no clock but the runtime's. The adapters are
//! `iotcore-gateway-tokio` and `iotcore-gateway-smol`.
//!
//! [`guide`] says how things are done with it, with examples that run: from a start without a network to the shutdown.

mod alarm;
mod attach_error;
mod attaching;
mod client;
pub mod closed;
mod closing;
mod completion;
mod connection;
mod delivery;
mod device;
mod device_tokens;
mod dial;
mod dial_failure;
mod environment;
mod failed_attempt;
pub mod guide;
mod handle;
#[cfg(feature = "jwt")]
mod key_file;
mod messages;
mod not_connected;
mod operation;
mod operation_error;
mod payloads;
pub mod proxy;
mod received_message;
mod resolver;
mod runtime;
mod secret_file;
mod setup;
mod setup_error;
mod shared;
pub mod sockets;
mod state;
mod status;
mod status_changes;
#[cfg(feature = "store")]
pub mod store;
pub mod tls;
mod token_wait;
mod tokens;
mod trace;
mod transport;
mod transport_error;
mod warnings;

use core::{
    fmt,
    future::poll_fn,
    task::{Context, Poll},
};
use std::sync::Arc;

#[cfg(feature = "store")]
use self::store::StoreRunner;
#[cfg(feature = "jwt")]
pub use self::tokens::KeyTokens;
use self::{
    alarm::Alarm,
    connection::READ_BYTES,
    device_tokens::DeviceTokens,
    dial::Dialer,
    environment::{Environment, RuntimeEnvironment},
    shared::Shared,
    state::State,
    tls::Checked,
    tokens::TokenSource,
    trace::Trace,
};
pub use self::{
    client::Client,
    delivery::Delivery,
    device::Device,
    messages::{Message, Messages},
    payloads::{Attach, ReportedState, Telemetry},
    received_message::MessageKind,
    runtime::Runtime,
    setup::Setup,
    status::Status,
    status_changes::StatusChanges,
    tls::{security::Security, settings::Tls},
};
use self::{closed::Closed, proxy::Proxy};
#[cfg(feature = "store")]
use crate::time::Duration;
use crate::time::Instant;

pub mod error {
    //! What the driver and its handles fail with: whose fault it is, and what to do.
    //!
    //! A command that failed: [`AcceptError`], [`DeliveryError`], [`AttachError`], [`OperationError`]. A connection that
    //! could not be made or ended: [`TransportError`] and what is in it. A setup that is wrong: [`SetupError`].

    #[cfg(feature = "jwt")]
    pub use super::key_file::KeyFileError;
    pub use super::{
        attach_error::AttachError,
        dial_failure::DialFailure,
        not_connected::NotConnected,
        operation_error::{AcceptError, DeliveryError, DriverStopped, OperationError},
        setup_error::SetupError,
        transport_error::{TokenFailure, TransportError},
    };
    #[cfg(feature = "store")]
    pub use super::{operation_error::StoredError, store::StoreError};
}

pub mod pending {
    //! The futures of commands under way: [`Accepting`] a message, [`Attaching`] a device, and any other [`Operation`].
    //!
    //! What was accepted goes on when its future is dropped.

    #[cfg(feature = "store")]
    pub use super::delivery::Storing;
    pub use super::{attaching::Attaching, delivery::Accepting, operation::Operation};
}

pub mod token_source {
    //! Where the driver's tokens come from: a [`TokenSource`] of your own, for keys in hardware or in another process.

    pub use super::tokens::{BoxError, TokenRequest, TokenSource};
}

/// How long the end of a driver waits for its store at most.
#[cfg(feature = "store")]
const STORE_RELEASE: Duration = Duration::from_secs(2);

/// Runs one gateway: connects, reads, writes, handles its deadlines, and wakes the futures of the handles.
#[must_use = "nothing is sent or received until `run` is spawned"]
pub struct Driver<R: Runtime, T: TokenSource> {
    shared: Arc<Shared>,
    environment: Arc<RuntimeEnvironment<R, T>>,
    target: Arc<Target>,
    dialer: Dialer,
    alarm: Alarm,
    device_tokens: DeviceTokens,
    trace: Trace,
    /// Holds the bytes of the last read.
    buffer: Box<[u8]>,
    /// Consecutive turns that stopped reading at their bound.
    unread_turns: u32,
    #[cfg(feature = "store")]
    store: Option<StoreRunner>,
}

/// Where to connect.
struct Target {
    host: String,
    port: u16,
    proxy: Option<Proxy>,
    security: Checked,
}

impl<R: Runtime, T: TokenSource> Driver<R, T> {
    fn new(
        shared: Arc<Shared>,
        environment: Arc<RuntimeEnvironment<R, T>>,
        target: Target,
    ) -> Self {
        Self {
            alarm: Alarm::new(Arc::clone(shared.environment())),
            device_tokens: DeviceTokens::new(Arc::clone(shared.environment())),
            trace: Trace::new(&shared, environment.client_id()),
            shared,
            environment,
            target: Arc::new(target),
            dialer: Dialer::default(),
            buffer: vec![0; READ_BYTES].into(),
            unread_turns: 0,
            #[cfg(feature = "store")]
            store: None,
        }
    }

    #[cfg(feature = "store")]
    fn with_store(mut self, store: Option<StoreRunner>) -> Self {
        self.store = store;
        self
    }

    /// Runs until the gateway is closed, and its store can be opened again, and returns the unsent messages. Spawn it, or
    /// await it concurrently with the program's own work. Dropped before it completes, it ends every pending future with
    /// [`DriverStopped`](error::DriverStopped).
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn cannot promise that its future is Send and 'static"
    )]
    pub fn run(mut self) -> impl Future<Output = Closed> + Send + 'static {
        async move {
            loop {
                let closed = poll_fn(|cx| {
                    let wants_transport = self.poll_gateway(cx);
                    let step =
                        |state: &mut State| (state.closed().cloned(), state.awaits_status_reader());
                    match self.shared.lock(|state| step(state)) {
                        (Some(closed), _) => Poll::Ready(Some(closed)),
                        // The end of the last connection is reported before the next one begins.
                        (None, false) if wants_transport => Poll::Ready(None),
                        (None, _) => Poll::Pending,
                    }
                });
                if let Some(closed) = closed.await {
                    #[cfg(feature = "store")]
                    self.release_store().await;
                    return closed;
                }
                self.connect().await;
            }
        }
    }

    /// Does what needs no transport: deadlines, events and tokens. Returns whether the gateway wants a transport.
    fn poll_gateway(&mut self, cx: &mut Context<'_>) -> bool {
        self.register_waker(cx);
        let now = self.environment.now();
        let wants_transport = self.advance(now);
        self.run_store(cx);
        self.fetch_tokens(cx);
        self.set_alarm(cx);
        wants_transport
    }

    /// Passes on what the store has answered, and what it is to do next. Called after what may have changed that.
    #[cfg(feature = "store")]
    fn run_store(&mut self, cx: &mut Context<'_>) {
        let Some(store) = &mut self.store else {
            return;
        };
        if let Some(answer) = store.poll_answer(cx) {
            self.shared
                .with(|state, now| state.handle_store_answer(answer, now));
            // It may have ended the gateway, or let something be sent.
            cx.waker().wake_by_ref();
        }
        let damage = store.damage();
        self.shared.lock(|state| state.report_damage(damage));
        let wants_store = |state: &mut State| state.gateway().wants_store();
        if store.is_idle() && self.shared.lock(wants_store) {
            let unix_now = self.environment.unix_now();
            let take = |state: &mut State, now| state.take_group(unix_now, now);
            if let Some(group) = self.shared.with(take) {
                store.begin(group);
            }
        }
    }

    /// Waits until the store can be opened again: it may still write, or free space. A disk that does not answer is not
    /// waited for.
    #[cfg(feature = "store")]
    async fn release_store(&mut self) {
        let Some(store) = self.store.take() else {
            return;
        };
        let deadline = self.environment.now() + STORE_RELEASE;
        let alarm = &mut self.alarm;
        poll_fn(move |cx| {
            drop(store.poll_answer(cx));
            match store.is_idle() || alarm.rings(Some(deadline), cx) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    #[cfg(not(feature = "store"))]
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "there is no store"
    )]
    fn run_store(&mut self, _: &mut Context<'_>) {}

    /// Registers the waker that handles notify. Called first in each turn, so that no notification is missed.
    fn register_waker(&mut self, cx: &mut Context<'_>) {
        self.shared.lock(|state| state.register_driver(cx));
    }

    /// Handles a deadline that has passed and distributes the events. Returns whether the gateway wants a transport.
    fn advance(&mut self, now: Instant) -> bool {
        let wants_transport = self.shared.lock(|state| {
            state.handle_deadline(now);
            state.distribute_events(now);
            state.gateway().wants_transport()
        });
        self.trace.follow();
        wants_transport
    }

    /// Fetches the tokens that devices need. Called after the events of the turn, which request them.
    fn fetch_tokens(&mut self, cx: &mut Context<'_>) {
        // The outcome is reported: not while a reader of the status applies back-pressure.
        if self.shared.lock(|state| state.awaits_status_reader()) {
            return;
        }
        if self.device_tokens.poll(&self.shared, cx) {
            cx.waker().wake_by_ref();
        }
        for (device, warning) in self.environment.take_warnings() {
            self.shared
                .lock(|state| state.report_token_warning(device, warning));
        }
    }

    /// Sets the alarm to the gateway's next deadline. Called last in each turn, because everything else can change it.
    fn set_alarm(&mut self, cx: &mut Context<'_>) {
        let deadline = self.shared.lock(|state| state.gateway().poll_timeout());
        if self.alarm.rings(deadline, cx) {
            cx.waker().wake_by_ref();
        }
    }
}

impl<R: Runtime, T: TokenSource> Drop for Driver<R, T> {
    fn drop(&mut self) {
        self.shared.lock(|state| state.stop());
    }
}

impl<R: Runtime, T: TokenSource> fmt::Debug for Driver<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("client_id", self.environment.client_id())
            .field("host", &self.target.host)
            .field("port", &self.target.port)
            .finish_non_exhaustive()
    }
}
