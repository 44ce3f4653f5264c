//! Converts operations to commands of the gateway, and their results and the gateway's messages to events.

mod cancellation;
mod commands;
mod connection;
mod events;
mod lanes;
mod load;
mod open;
mod pause;
mod shutdown;
mod snapshot;
mod statuses;
mod storing;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::Arc,
};

use iotcore_gateway_tokio::{
    Client, Delivery, Device, DeviceId, Failure, Message,
    message::{QoS, Subscription, Unsent},
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use self::{
    connection::Connection,
    lanes::{Lanes, Place, Stage},
    open::{Open, Origin},
    pause::Pause,
    shutdown::Shutdown,
};
use crate::{
    failure::Reason,
    input::{Gate, Line},
    operation::{Action, Id, InvalidLine, Operation, Request},
    options::Settings,
    output::{self, Event, Output},
    pulse::Pulse,
    sources::{Ended, Next, Sources},
};

/// Connects a gateway with its input and output.
pub(crate) struct Relay {
    client: Client,
    settings: Settings,
    output: Output,
    connection: Connection,
    lanes: Lanes,
    open: Open,
    /// When the messages that wait before a detach fail, and the detach: its device and place.
    drains: VecDeque<(Instant, DeviceId, Place)>,
    tasks: JoinSet<Ended>,
    /// The sender for the devices' messages; `None` once the gateway is closed.
    messages: Option<mpsc::Sender<Message>>,
    /// Messages that wait for their `acknowledge`, without payloads.
    unacknowledged: BTreeMap<u64, Message>,
    last_delivery: u64,
    pause: Pause,
    shutdown: Shutdown,
    pulse: Pulse,
    /// Notified when the store can be written again; `None` without a store.
    store_recovered: Option<watch::Sender<()>>,
    /// The number of messages left unsent.
    unsent: usize,
    /// How many of them the store has.
    kept: usize,
    /// Whether the end of the relay has ended an operation, of any kind, that the store does not have.
    is_cut_short: bool,
    /// Why the input cannot be read any more.
    input: io::Result<()>,
}

/// How the relay ended.
pub(crate) struct End {
    /// Whether it has ended an operation that the store does not have.
    pub(crate) is_cut_short: bool,
    /// Whether the store has messages that were not sent.
    pub(crate) has_kept: bool,
    /// An error when the input cannot be read.
    pub(crate) input: io::Result<()>,
    /// An error when the output cannot be written. The gateway may not be closed in that case.
    pub(crate) output: io::Result<()>,
    /// When the program ends at the latest, although the gateway is not closed; `None` if there was no signal.
    pub(crate) ends_at: Option<Instant>,
}

impl Relay {
    /// Creates a relay and the receiver of its messages; `stop` is notified by a signal, which closes the gate of the input.
    pub(crate) fn new(
        client: Client,
        settings: Settings,
        pulse: Pulse,
        stop: Arc<Notify>,
        gate: Arc<Gate>,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (messages, receiver) = mpsc::channel(1);
        let notifier = pulse.notifier().clone();
        let shutdown = Shutdown::new(client.clone(), stop, gate, notifier, settings.drain_timeout);
        let store_recovered = settings.has_store.then(|| watch::Sender::new(()));
        let relay = Self {
            client,
            settings,
            output: Output::new(),
            connection: Connection::default(),
            lanes: Lanes::default(),
            open: Open::default(),
            drains: VecDeque::new(),
            tasks: JoinSet::new(),
            messages: Some(messages),
            unacknowledged: BTreeMap::new(),
            last_delivery: 0,
            pause: Pause::default(),
            shutdown,
            pulse,
            store_recovered,
            unsent: 0,
            kept: 0,
            is_cut_short: false,
            input: Ok(()),
        };
        (relay, receiver)
    }

    /// Runs to the end; the last event is `closed`. `restored` was found in the store.
    pub(crate) async fn run(mut self, sources: Sources, restored: Vec<(Unsent, Delivery)>) -> End {
        let output = self.process(sources, restored).await;
        End {
            is_cut_short: self.is_cut_short,
            has_kept: self.kept > 0,
            input: self.input,
            output,
            ends_at: self.shutdown.ends_at(),
        }
    }

    async fn process(
        &mut self,
        mut sources: Sources,
        restored: Vec<(Unsent, Delivery)>,
    ) -> io::Result<()> {
        if let Some(address) = self.settings.metrics {
            self.write(&Event::Metrics { address }).await?;
        }
        self.take_restored(restored).await?;
        self.subscribe_gateway();
        while !self.shutdown.is_overdue(Instant::now()) {
            self.pulse.vitals().set_open(self.open.messages().into());
            let is_reading = self.is_reading();
            let deadline = self.deadline();
            let check = self.next_check();
            let next = sources.next(&mut self.tasks, is_reading, deadline, check);
            match self.pulse.during(next).await {
                None => break,
                Some(Next::Signal) => self.shutdown.drain(),
                Some(Next::DeadlinePassed) => self.on_deadline().await?,
                Some(Next::Status(change)) => self.on_status(change).await?,
                Some(Next::Closed) => self.on_gateway_closed().await?,
                Some(Next::StillPaused) => self.on_paused().await?,
                Some(Next::Ended(ended)) => self.on_ended(ended).await?,
                Some(Next::Message(message)) => self.on_message(message).await?,
                Some(Next::Line(line)) => self.on_line(line).await?,
                Some(Next::InputEnded(result)) => {
                    self.input = result;
                    self.shutdown.finish();
                }
            }
            self.start_due().await?;
            self.continue_shutdown().await?;
        }
        for (id, is_accepted) in self.open.all_ids() {
            let reason = match is_accepted {
                true => Failure::Closed.into(),
                false => Reason::closed(),
            };
            self.end(id, Err(reason)).await?;
        }
        let closed = Event::Closed {
            unsent: self.unsent,
            stored: self.settings.has_store.then_some(self.kept),
        };
        self.write(&closed).await
    }

    fn subscribe_gateway(&mut self) {
        let own = self.client.gateway();
        for subscription in [Subscription::Config, Subscription::Commands] {
            self.subscribe(&own, subscription, QoS::AtLeastOnce);
        }
        self.forward_messages(&own);
        self.lanes.set_stage(&own.id().clone(), Stage::Ready(own));
    }

    /// Subscribes a device or the gateway itself, now and on every later connection.
    fn subscribe(&mut self, device: &Device, subscription: Subscription, qos: QoS) {
        let subscribing = device.subscribe(subscription, qos);
        let device = device.id().clone();
        self.tasks.spawn(async move {
            Ended::Subscription {
                device,
                subscription,
                result: subscribing.await,
            }
        });
    }

    /// Forwards a device's messages to the relay.
    fn forward_messages(&self, device: &Device) {
        if let Some(sender) = self.messages.clone() {
            let mut messages = device.messages();
            tokio::spawn(async move {
                while let Some(message) = messages.next().await {
                    if sender.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
    }
}

/// Handles the input.
impl Relay {
    async fn on_line(&mut self, line: Line) -> io::Result<()> {
        let accepted = match line.content {
            Ok(Operation::Request(request)) => self.accept(request).await?,
            Ok(Operation::Refused { id, reason }) => self.refuse(id, reason).await?,
            Ok(Operation::Cancel { id }) => return self.cancel(id).await,
            Ok(Operation::Acknowledge { delivery }) => self.acknowledge(delivery),
            Ok(Operation::Question { id, about }) => return self.answer(id, about).await,
            Ok(Operation::Close) => {
                self.shutdown.finish();
                Ok(())
            }
            Err(invalid) => Err(invalid),
        };
        match accepted {
            Ok(()) => Ok(()),
            Err(invalid) => {
                let id = match &invalid {
                    InvalidLine::IdInUse(id) => Some(id.clone()),
                    _ => line.id,
                };
                let event = Event::Invalid {
                    line: line.number,
                    id: id.filter(|id| !id.may_be_token()),
                    error: invalid.code(),
                    detail: invalid.to_string(),
                };
                self.write(&event).await
            }
        }
    }

    /// Queues a request behind those of its device.
    async fn accept(&mut self, request: Request) -> io::Result<Result<(), InvalidLine>> {
        if self.open.contains(&request.id) {
            return Ok(Err(InvalidLine::IdInUse(request.id)));
        }
        let device = match &request.device {
            Some(id) => DeviceId::try_from(id.as_str()),
            None => Ok(self.settings.gateway.clone()),
        };
        let device = match device {
            Ok(device) => device,
            Err(error) => return self.refuse(request.id, error.into()).await,
        };
        if self.messages.is_none() {
            return self.refuse_closed(&request).await.map(Ok);
        }
        if let Some(failed) = self.without_room(&request, &device) {
            return self.write(&failed).await.map(Ok);
        }
        let place = self.lanes.next_place(&device, &request.action);
        self.open
            .add(&request, device.clone(), place, Origin::Input);
        if matches!(request.action, Action::Detach) {
            let deadline = Instant::now() + self.settings.drain_timeout.half();
            self.drains.push_back((deadline, device.clone(), place));
        }
        self.lanes.push(&device, place, request);
        Ok(Ok(()))
    }

    /// Refuses a request that has a wrong value.
    async fn refuse(&mut self, id: Id, reason: Reason) -> io::Result<Result<(), InvalidLine>> {
        if self.open.contains(&id) {
            return Ok(Err(InvalidLine::IdInUse(id)));
        }
        let failed = Event::failed(id, reason, None);
        self.write(&failed).await.map(Ok)
    }

    /// Refuses a request that was read when the gateway was closed already.
    async fn refuse_closed(&mut self, request: &Request) -> io::Result<()> {
        let message = output::Message::of(request, Instant::now());
        self.count_unfinished(message.is_some(), false);
        let failed = Event::failed(request.id.clone(), Reason::closed(), message);
        self.write(&failed).await
    }

    fn acknowledge(&mut self, delivery: u64) -> Result<(), InvalidLine> {
        if !(1..=self.last_delivery).contains(&delivery) {
            return Err(InvalidLine::NoDelivery(delivery));
        }
        if let Some(message) = self.unacknowledged.remove(&delivery) {
            message.acknowledge();
        }
        Ok(())
    }

    /// Starts the requests that the last input made startable.
    async fn start_due(&mut self) -> io::Result<()> {
        while let Some(device) = self.lanes.pop_due() {
            self.start_requests(&device).await?;
        }
        Ok(())
    }

    /// Closes the gateway once the input has ended and so has everything that it asked for.
    async fn continue_shutdown(&mut self) -> io::Result<()> {
        self.shutdown.set_kept(self.is_kept());
        if self.shutdown.is_draining() && self.is_all_done() && !self.shutdown.has_lines_left() {
            return self.close().await;
        }
        Ok(())
    }

    /// Returns the next deadline: of the shutdown, of a detach, or of a message that waits.
    fn deadline(&self) -> Option<Instant> {
        let drain = self.drains.front().map(|(deadline, ..)| *deadline);
        let deadlines = [self.shutdown.deadline(), drain, self.lanes.next_expiry()];
        deadlines.into_iter().flatten().min()
    }

    /// Handles the deadlines that have passed: fails the messages that have expired or were to be sent before a detach, closes
    /// the gateway.
    async fn on_deadline(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while let Some(message) = self.lanes.pop_expired(now) {
            self.end(message.id, Err(Failure::Expired.into())).await?;
        }
        while let Some((at, ..)) = self.drains.front()
            && *at <= now
            && let Some((_, device, place)) = self.drains.pop_front()
        {
            for message in self.lanes.take_messages_before(&device, place) {
                let detached = Err(Failure::Detached.into());
                self.end(message.id, detached).await?;
            }
        }
        self.shutdown.end_reading(now);
        match self.shutdown.is_due(now) {
            true => self.close().await,
            false => Ok(()),
        }
    }

    /// Closes the gateway, which sends what it has accepted. Requests that it has not accepted yet fail.
    async fn close(&mut self) -> io::Result<()> {
        self.shutdown.close();
        self.fail_waiting().await
    }

    async fn on_gateway_closed(&mut self) -> io::Result<()> {
        self.messages = None;
        self.shutdown.on_closed();
        self.fail_waiting().await
    }

    async fn fail_waiting(&mut self) -> io::Result<()> {
        self.drains.clear();
        for request in self.lanes.take_waiting() {
            self.end(request.id, Err(Reason::closed())).await?;
        }
        Ok(())
    }

    /// Writes an event. Signals and the deadlines of the shutdown are heeded meanwhile, because nobody may be reading it. So
    /// are the service manager's: the relay works, and a restart would lose its messages and wait for the same reader.
    async fn write(&mut self, event: &Event) -> io::Result<()> {
        let written = async {
            tokio::select! {
                biased;
                written = self.output.write(event) => written,
                () = self.shutdown.proceed() => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "nobody has read it before the --drain-timeout after a signal had passed",
                )),
            }
        };
        self.pulse.during_write(written).await
    }
}
