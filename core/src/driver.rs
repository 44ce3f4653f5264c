//! The async shell around the machine (feature `driver`): connections, TLS, timers, and handles for any number of tasks.
//!
//! [`Setup`] says where to connect and as whom; [`Setup::start`] gives a [`Client`] and a [`Driver`]. The driver does all
//! the work in the one future of [`Driver::run`], which the user spawns; it runs on anything that is a [`Runtime`], spawns
//! nothing, and reads no clock but the runtime's. The adapters are `iotcore-gateway-tokio` and `iotcore-gateway-smol`.
//!
//! # Accepted, then acknowledged
//!
//! [`Device::telemetry`] ends when the gateway has accepted the message, and gives a [`Delivery`] that ends when the
//! bridge has acknowledged it. What is accepted is kept over as many connections as it takes. A handle gives its command
//! to the machine in one step under one lock: a future that is dropped has either been accepted or changed nothing.
//!
//! # Back-pressure
//!
//! Upwards, full queues make [`Device::telemetry`] wait. Downwards, a config or command is acknowledged when it is taken
//! from [`Messages`], and at `max_unacknowledged` of them the driver stops reading. The status holds nothing up, unless its
//! reader asks for that with [`StatusChanges::holding`].
//!
//! # The end
//!
//! [`Client::close`] sends what can still be sent, disconnects, and tells what was left. Dropping every handle closes as
//! well. Dropping the driver ends every pending future with [`DriverStopped`].

mod acknowledging;
mod attach_error;
mod attaching;
mod client;
mod closed;
mod closing;
mod completion;
mod connection;
mod delivery;
mod device;
mod device_tokens;
mod environment;
mod error;
mod handle;
mod messages;
mod operation;
mod payloads;
mod received_message;
mod runtime;
mod setup;
mod shared;
mod state;
mod status;
mod status_changes;
mod tls;
mod tokens;
mod trace;
mod transport;

use core::{
    fmt,
    future::poll_fn,
    task::{Context, Poll},
};
use std::sync::Arc;

#[cfg(feature = "jwt")]
pub use self::tokens::KeyTokens;
pub use self::{
    acknowledging::Acknowledging,
    attach_error::AttachError,
    attaching::Attaching,
    client::Client,
    closed::{CloseCause, Closed},
    delivery::{Accepting, Delivery},
    device::Device,
    error::{
        AcceptError, DeliveryError, DriverStopped, OperationError, SetupError, TokenFailure,
        TransportError,
    },
    messages::{Message, Messages},
    operation::Operation,
    payloads::{Attach, ReportedState, Telemetry},
    received_message::MessageKind,
    runtime::Runtime,
    setup::Setup,
    status::Status,
    status_changes::StatusChanges,
    tls::{HostError, Security, Tls, TlsError},
    tokens::{BoxError, TokenRequest, TokenSource},
};
use self::{
    connection::READ_BYTES,
    device_tokens::DeviceTokens,
    environment::{Environment, RuntimeEnvironment},
    runtime::Alarm,
    shared::Shared,
    state::State,
    tls::Checked,
    trace::Trace,
};
use crate::time::Instant;

/// Does the work of one gateway: connects, reads, writes, keeps time, and wakes the futures of the handles.
#[must_use = "nothing is sent or received until `run` is spawned"]
pub struct Driver<R: Runtime, T: TokenSource> {
    shared: Arc<Shared>,
    environment: Arc<RuntimeEnvironment<R, T>>,
    target: Arc<Target>,
    alarm: Alarm<R>,
    device_tokens: DeviceTokens,
    trace: Trace,
    /// What was read last.
    buffer: Box<[u8]>,
}

/// Where to connect.
struct Target {
    host: String,
    port: u16,
    security: Checked,
}

impl<R: Runtime, T: TokenSource> Driver<R, T> {
    fn new(
        shared: Arc<Shared>,
        environment: Arc<RuntimeEnvironment<R, T>>,
        host: String,
        port: u16,
        security: Checked,
    ) -> Self {
        let target = Target {
            host,
            port,
            security,
        };
        Self {
            alarm: Alarm::new(Arc::clone(environment.runtime())),
            trace: Trace::new(&shared, environment.client_id()),
            shared,
            environment,
            target: Arc::new(target),
            device_tokens: DeviceTokens::default(),
            buffer: vec![0; READ_BYTES].into(),
        }
    }

    /// Runs until the gateway is closed, and tells what was left unsent. Spawn it, or await it beside the program's own
    /// work; dropped before its end, it ends every pending future with [`DriverStopped`].
    #[expect(
        clippy::manual_async_fn,
        reason = "that it is Send and 'static is a promise, which an async fn cannot make"
    )]
    pub fn run(mut self) -> impl Future<Output = Closed> + Send + 'static {
        async move {
            loop {
                let closed = poll_fn(|cx| {
                    let wants_transport = self.attend(cx);
                    let step =
                        |state: &mut State| (state.closed().cloned(), state.awaits_status_reader());
                    match self.shared.lock(|state| step(state)) {
                        (Some(closed), _) => Poll::Ready(Some(closed)),
                        // The last connection's end is told before the next one begins.
                        (None, false) if wants_transport => Poll::Ready(None),
                        (None, _) => Poll::Pending,
                    }
                });
                if let Some(closed) = closed.await {
                    return closed;
                }
                self.connect().await;
            }
        }
    }

    /// One turn of what goes on with or without a transport; gives whether one is wanted.
    fn attend(&mut self, cx: &mut Context<'_>) -> bool {
        self.listen(cx);
        let now = self.environment.now();
        let wants_transport = self.tend(now);
        self.fetch_tokens(cx);
        self.set_alarm(cx);
        wants_transport
    }

    /// Has this task woken by the handles. First in each turn, so that nothing they do is missed.
    fn listen(&mut self, cx: &mut Context<'_>) {
        self.shared.lock(|state| state.register_driver(cx));
    }

    /// Tells the gateway the time if it is due, and gives out its events; gives whether a transport is wanted.
    fn tend(&mut self, now: Instant) -> bool {
        let wants_transport = self.shared.lock(|state| {
            state.handle_deadline(now);
            state.distribute_events(now);
            state.gateway().wants_transport()
        });
        self.trace.follow();
        wants_transport
    }

    /// Fetches the tokens that devices need. After the events of the turn, which ask for them.
    fn fetch_tokens(&mut self, cx: &mut Context<'_>) {
        if self.device_tokens.poll(&self.shared, cx) {
            cx.waker().wake_by_ref();
        }
    }

    /// Has this task woken at the gateway's next deadline. Last in each turn, for all that happens can change it.
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
