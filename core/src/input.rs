//! Every input and command of a gateway as plain data, and the one method that takes them.

#[cfg(feature = "store")]
use crate::store::{Record, Recovered, StoreFailure, StoreSeq};
use crate::{
    command::{DeliveryId, DeviceAuth, DeviceKey, OpId, Publication, Subscription},
    error::{CommandError, PublishError},
    event::{Event, TransportEnd},
    gateway::Gateway,
    id::DeviceId,
    mqtt::QoS,
    time::{Instant, UnixTime},
    token::Token,
};

/// An input or command of a [`Gateway`] as plain data; also [`Gateway::poll_event`], which may resume reading.
/// [`Gateway::apply`] takes them all, so that a session can be recorded, replayed byte for byte, generated and shrunk.
/// It borrows the received bytes.
///
/// A recording also needs the `now` of each input, and the client id, options and seed of its gateway: another gateway
/// created from these returns the same answers and the same keys. To replay it at other instants, shift the expiry of
/// each token by the same amount.
///
/// ```
/// use std::time::Instant;
/// use iotcore_gateway::{ClientId, Gateway, Input, Options, Publication};
///
/// # let id = ClientId::new("p".try_into()?, "us-central1".try_into()?, "reg".try_into()?, "gw-1".try_into()?);
/// let mut gateway = Gateway::new(id, Options::default(), 42)?;
/// let now = Instant::now();
/// let opened = gateway.apply(Input::Open, now).op()?;
/// let reading = Publication::telemetry(gateway.own_key(), "21.5");
/// let published = gateway.apply(Input::Publish(reading), now).published()?;
/// assert!(opened < published);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// [`Gateway::handle_connected`].
    Connected {
        /// The token for CONNECT.
        token: Token,
        /// The time of the wall clock.
        unix_now: UnixTime,
    },
    /// [`Gateway::handle_date`].
    Date(UnixTime),
    /// [`Gateway::handle_input`].
    Received(&'a [u8]),
    /// [`Gateway::handle_transmitted`], with the number of bytes.
    Transmitted(usize),
    /// [`Gateway::handle_timeout`].
    Timeout,
    /// [`Gateway::handle_disconnected`].
    Disconnected(TransportEnd),
    /// [`Gateway::handle_stored`].
    #[cfg(feature = "store")]
    Stored(StoreSeq),
    /// [`Gateway::handle_store_failed`].
    #[cfg(feature = "store")]
    StoreFailed(StoreFailure),
    /// [`Gateway::open`].
    Open,
    /// [`Gateway::attach`].
    Attach {
        /// The device.
        device: DeviceId,
        /// How it proves to the bridge who it is.
        auth: DeviceAuth,
        /// The time of the wall clock.
        unix_now: UnixTime,
    },
    /// [`Gateway::detach`].
    Detach(DeviceKey),
    /// [`Gateway::authorize`].
    Authorize {
        /// The device.
        device: DeviceKey,
        /// Its new token.
        token: Token,
        /// The time of the wall clock.
        unix_now: UnixTime,
    },
    /// [`Gateway::publish`].
    Publish(Publication),
    /// [`Gateway::restore`].
    #[cfg(feature = "store")]
    Restore {
        /// Its number in the store.
        seq: StoreSeq,
        /// What was found.
        record: Record<'a>,
        /// The time of the wall clock.
        unix_now: UnixTime,
    },
    /// [`Gateway::handle_recovered`].
    #[cfg(feature = "store")]
    Recovered(Recovered),
    /// [`Gateway::cancel`].
    Cancel(OpId),
    /// [`Gateway::subscribe`].
    Subscribe {
        /// The device.
        device: DeviceKey,
        /// The subscription.
        subscription: Subscription,
        /// The requested quality of service.
        qos: QoS,
    },
    /// [`Gateway::unsubscribe`].
    Unsubscribe {
        /// The device.
        device: DeviceKey,
        /// The subscription.
        subscription: Subscription,
    },
    /// [`Gateway::acknowledge`].
    Acknowledge(DeliveryId),
    /// [`Gateway::postpone`].
    Postpone(DeliveryId),
    /// [`Gateway::reset_worst_latency`].
    ResetWorstLatency,
    /// [`Gateway::close`].
    Close,
    /// [`Gateway::poll_event`].
    PollEvent,
}

/// The return value of [`Gateway::apply`]: that of the method for the input.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Of [`Input::Connected`], [`Input::Date`], [`Input::Received`], [`Input::Transmitted`], [`Input::Timeout`], [`Input::Disconnected`],
    /// [`Input::Acknowledge`], [`Input::Postpone`], [`Input::ResetWorstLatency`], and with the feature `store`
    /// `Input::Stored`, `Input::StoreFailed` and `Input::Recovered`: they are never refused.
    None,
    /// Of [`Input::Open`], [`Input::Detach`], [`Input::Authorize`], [`Input::Subscribe`], [`Input::Unsubscribe`], with the
    /// feature `store` `Input::Restore`, and [`Input::Close`], which is never refused.
    Op(Result<OpId, CommandError>),
    /// Of [`Input::Attach`].
    Attached(Result<(DeviceKey, OpId), CommandError>),
    /// Of [`Input::Cancel`].
    Cancelled(Result<(), CommandError>),
    /// Of [`Input::Publish`].
    Published(Result<OpId, PublishError>),
    /// Of [`Input::PollEvent`].
    Event(Option<Event>),
}

/// Each input has one kind of answer, which the caller knows. All panics in this crate come from `expect`.
const OTHER_KIND: &str = "this is the answer to another kind of input";

impl Answer {
    /// Returns the operation of a command other than attach and publish.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the gateway refused the command.
    ///
    /// # Panics
    ///
    /// If it is the answer to another kind of input: an error of the caller.
    #[inline]
    pub fn op(self) -> Result<OpId, CommandError> {
        match self {
            Self::Op(op) => Some(op),
            _ => None,
        }
        .expect(OTHER_KIND)
    }

    /// Returns the key and the operation of an attach.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the gateway refused the attach.
    ///
    /// # Panics
    ///
    /// If it is the answer to another kind of input: an error of the caller.
    #[inline]
    pub fn attached(self) -> Result<(DeviceKey, OpId), CommandError> {
        match self {
            Self::Attached(attached) => Some(attached),
            _ => None,
        }
        .expect(OTHER_KIND)
    }

    /// Returns the operation of a publication.
    ///
    /// # Errors
    ///
    /// [`PublishError`] returns the publication.
    ///
    /// # Panics
    ///
    /// If it is the answer to another kind of input: an error of the caller.
    #[inline]
    pub fn published(self) -> Result<OpId, PublishError> {
        match self {
            Self::Published(published) => Some(published),
            _ => None,
        }
        .expect(OTHER_KIND)
    }

    /// Returns whether a publication was cancelled.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the operation has ended, or is no publication.
    ///
    /// # Panics
    ///
    /// If it is the answer to another kind of input: an error of the caller.
    #[inline]
    pub fn cancelled(self) -> Result<(), CommandError> {
        match self {
            Self::Cancelled(cancelled) => Some(cancelled),
            _ => None,
        }
        .expect(OTHER_KIND)
    }

    /// Returns the event that was taken.
    ///
    /// # Panics
    ///
    /// If it is the answer to another kind of input: an error of the caller.
    #[inline]
    pub fn event(self) -> Option<Event> {
        match self {
            Self::Event(event) => Some(event),
            _ => None,
        }
        .expect(OTHER_KIND)
    }
}

impl Gateway {
    /// Applies any input or command at the instant `now`, exactly as the method for that input does; see its
    /// documentation. Ignoring the answer to a command ignores its refusal; ignoring the answer to [`Input::PollEvent`]
    /// loses the event. `now` is not used for
    /// [`Input::PollEvent`] and [`Input::ResetWorstLatency`].
    #[inline]
    pub fn apply(&mut self, input: Input<'_>, now: Instant) -> Answer {
        match input {
            Input::Connected { token, unix_now } => self.handle_connected(token, unix_now, now),
            Input::Date(unix_now) => self.handle_date(unix_now, now),
            Input::Received(bytes) => self.handle_input(bytes, now),
            Input::Transmitted(len) => self.handle_transmitted(len, now),
            Input::Timeout => self.handle_timeout(now),
            Input::Disconnected(end) => self.handle_disconnected(end, now),
            Input::Acknowledge(delivery) => self.acknowledge(delivery, now),
            Input::Postpone(delivery) => self.postpone(delivery, now),
            #[cfg(feature = "store")]
            Input::Stored(through) => self.handle_stored(through, now),
            #[cfg(feature = "store")]
            Input::StoreFailed(failure) => self.handle_store_failed(failure, now),
            Input::Open => return Answer::Op(self.open(now)),
            Input::Attach {
                device,
                auth,
                unix_now,
            } => return Answer::Attached(self.attach(device, auth, unix_now, now)),
            Input::Detach(device) => return Answer::Op(self.detach(device, now)),
            Input::Authorize {
                device,
                token,
                unix_now,
            } => return Answer::Op(self.authorize(device, token, unix_now, now)),
            Input::Publish(publication) => {
                return Answer::Published(self.publish(publication, now));
            }
            #[cfg(feature = "store")]
            Input::Restore {
                seq,
                record,
                unix_now,
            } => return Answer::Op(self.restore(seq, record, unix_now, now)),
            #[cfg(feature = "store")]
            Input::Recovered(recovered) => self.handle_recovered(&recovered),
            Input::Cancel(op) => return Answer::Cancelled(self.cancel(op, now)),
            Input::Subscribe {
                device,
                subscription,
                qos,
            } => return Answer::Op(self.subscribe(device, subscription, qos, now)),
            Input::Unsubscribe {
                device,
                subscription,
            } => return Answer::Op(self.unsubscribe(device, subscription, now)),
            Input::ResetWorstLatency => self.reset_worst_latency(),
            Input::Close => return Answer::Op(Ok(self.close(now))),
            Input::PollEvent => return Answer::Event(self.poll_event()),
        }
        Answer::None
    }
}
