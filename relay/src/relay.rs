//! Converts operations to commands of the gateway, and their results and the gateway's messages to events.

mod commands;
mod events;
mod open;
mod snapshot;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    time::Duration,
};

use iotcore_gateway_tokio::{Client, Device, DeviceId, Message, QoS, Subscription};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use self::open::Open;
use crate::{
    failure::Reason,
    input::Line,
    operation::{Action, InvalidLine, Operation, Request},
    options::{MAX_QUEUED_BYTES, Overflow, Settings},
    output::{Event, Output},
    sources::{Ended, Next, Sources},
};

/// How many bytes are read beyond an operation that waits for room: an `acknowledge` or `authorize` among them may be
/// what makes room, and is executed at once.
const MAX_AHEAD: usize = 64 * 1024;

/// The number of pending attaches, detaches and token changes at which further ones wait.
const MAX_CONTROLS: usize = 1_000;

/// Time limit for pending operations after the input has ended; then the gateway is closed.
const DRAIN_AFTER_INPUT: Duration = Duration::from_secs(10);
/// The same limit after a signal.
const DRAIN_AFTER_SIGNAL: Duration = Duration::from_secs(5);

/// The state of a device as the operations left it.
enum DeviceEntry {
    /// The device accepts commands.
    Ready(Device),
    /// The device is being attached for the first time. It accepts commands, but a detach, and requests after it, wait
    /// for the attach to end.
    Attaching(Device, Vec<Request>),
    /// The device is being detached; later requests wait for that.
    Detaching(Vec<Request>),
}

/// The phase of the shutdown.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Running,
    /// The input has ended; its operations are in progress. The deadline starts once all of them are.
    Draining(Option<Instant>),
    /// The gateway is closing or closed.
    Closing,
}

/// Connects a gateway with its input and output.
pub(crate) struct Relay {
    client: Client,
    settings: Settings,
    output: Output,
    devices: BTreeMap<DeviceId, DeviceEntry>,
    open: Open,
    /// Requests that were read and wait for room, with their lengths.
    held: VecDeque<(Request, usize)>,
    held_bytes: usize,
    tasks: JoinSet<Ended>,
    /// The sender for the devices' messages; `None` once the gateway is closed.
    messages: Option<mpsc::Sender<Message>>,
    /// Messages that wait for their `acknowledge`, without payloads.
    unacknowledged: BTreeMap<u64, Message>,
    last_delivery: u64,
    is_connected: bool,
    phase: Phase,
    unsent: usize,
}

impl Relay {
    /// Creates a relay and the receiver of its messages.
    pub(crate) fn new(client: Client, settings: Settings) -> (Self, mpsc::Receiver<Message>) {
        let (messages, receiver) = mpsc::channel(1);
        let relay = Self {
            client,
            settings,
            output: Output::new(),
            devices: BTreeMap::new(),
            open: Open::default(),
            held: VecDeque::new(),
            held_bytes: 0,
            tasks: JoinSet::new(),
            messages: Some(messages),
            unacknowledged: BTreeMap::new(),
            last_delivery: 0,
            is_connected: false,
            phase: Phase::Running,
            unsent: 0,
        };
        (relay, receiver)
    }

    /// Runs to the end; the last event is `closed`.
    ///
    /// # Errors
    ///
    /// Fails if the output cannot be written. The gateway is not closed in that case.
    pub(crate) async fn run(mut self, mut sources: Sources) -> io::Result<()> {
        self.subscribe_gateway();
        loop {
            let is_reading = self.phase == Phase::Running && self.held_bytes < MAX_AHEAD;
            let deadline = self.deadline();
            let next = sources.next(&mut self.tasks, is_reading, deadline);
            match next.await {
                None => break,
                Some(Next::Signal) => self.drain(Some(Instant::now() + DRAIN_AFTER_SIGNAL)),
                Some(Next::DeadlinePassed) => self.close().await?,
                Some(Next::Status(change)) => self.on_status(change).await?,
                Some(Next::Closed) => self.on_gateway_closed().await?,
                Some(Next::Ended(ended)) => self.on_ended(ended).await?,
                Some(Next::Message(message)) => self.on_message(message).await?,
                Some(Next::Line(line)) => self.on_line(line).await?,
                Some(Next::InputEnded) => self.drain(None),
            }
            self.start_held().await?;
        }
        let unsent = self.unsent;
        self.output.write(&Event::Closed { unsent }).await
    }

    fn subscribe_gateway(&mut self) {
        let own = self.client.gateway();
        for subscription in [Subscription::Config, Subscription::Commands] {
            let own = own.clone();
            self.tasks.spawn(async move {
                let result = own.subscribe(subscription, QoS::AtLeastOnce).await;
                Ended::Own(subscription, result)
            });
        }
        self.forward_messages(&own);
        self.devices
            .insert(own.id().clone(), DeviceEntry::Ready(own));
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
            Ok(Operation::Request(request)) => self.accept(request, line.len).await?,
            Ok(Operation::Acknowledge { delivery }) => self.acknowledge(delivery),
            Ok(Operation::Stats) => {
                let stats = Event::Stats((&self.client.stats()).into());
                return self.output.write(&stats).await;
            }
            Ok(Operation::Unsent) => return self.report_unsent().await,
            Ok(Operation::Close) => {
                self.drain(None);
                Ok(())
            }
            Err(invalid) => Err(invalid),
        };
        match accepted {
            Ok(()) => Ok(()),
            Err(invalid) => {
                let error = invalid.to_string();
                let line = line.number;
                self.output.write(&Event::Invalid { line, error }).await
            }
        }
    }

    /// Queues a request, except for one that provides a token, because the queued ones may wait for it.
    async fn accept(
        &mut self,
        request: Request,
        len: usize,
    ) -> io::Result<Result<(), InvalidLine>> {
        let is_held = self.held.iter().any(|(held, _)| held.id == request.id);
        if is_held || self.open.contains(&request.id) {
            return Ok(Err(InvalidLine::IdInUse(request.id)));
        }
        let is_urgent = matches!(request.action, Action::Authorize { .. })
            && self.has_room(&request)
            && self.knows(&request);
        if is_urgent && self.start(&request).await? {
            return Ok(Ok(()));
        } else {
            self.held_bytes += len;
            self.held.push_back((request, len));
        }
        Ok(Ok(()))
    }

    fn knows(&self, request: &Request) -> bool {
        let mut ids = self.devices.keys().map(DeviceId::as_str);
        ids.any(|id| request.device.as_deref() == Some(id))
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

    /// Starts the held requests for which there is room, in input order; then continues the shutdown if it has begun.
    async fn start_held(&mut self) -> io::Result<()> {
        while let Some((request, _)) = self.held.front()
            && self.has_room(request)
            && let Some((request, len)) = self.held.pop_front()
        {
            if !self.start(&request).await? {
                self.held.push_front((request, len));
                break;
            }
            self.held_bytes -= len;
        }
        if let Phase::Draining(deadline) = self.phase
            && self.held.is_empty()
        {
            if self.open.is_empty() {
                return self.close().await;
            }
            self.drain(deadline.or_else(|| Some(Instant::now() + DRAIN_AFTER_INPUT)));
        }
        Ok(())
    }

    fn has_room(&self, request: &Request) -> bool {
        match request.action.payload() {
            Some(payload) => {
                let fits = self.open.bytes() + payload.len() <= MAX_QUEUED_BYTES;
                let has_slot = fits && self.open.messages() < self.settings.max_queued;
                has_slot || self.drops_older(request)
            }
            None => self.open.controls() < MAX_CONTROLS,
        }
    }

    /// Returns whether the gateway drops an older message for this one; never while the request would wait here for its
    /// device.
    fn drops_older(&self, request: &Request) -> bool {
        let device = request.device.as_deref().map(DeviceId::try_from);
        let entry = match device {
            Some(Ok(device)) => self.devices.get(&device),
            Some(Err(_)) | None => None,
        };
        let is_waiting = match entry {
            Some(DeviceEntry::Attaching(_, waiting)) => !waiting.is_empty(),
            Some(DeviceEntry::Detaching(_)) => true,
            Some(DeviceEntry::Ready(_)) | None => false,
        };
        self.settings.overflow == Overflow::DropOldest && !is_waiting
    }

    /// Records the end of the input; its remaining requests have until the deadline, if there already is one.
    fn drain(&mut self, deadline: Option<Instant>) {
        if self.phase != Phase::Closing {
            self.phase = Phase::Draining(deadline);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Draining(deadline) => deadline,
            Phase::Running | Phase::Closing => None,
        }
    }

    /// Closes the gateway, which sends what it has accepted. Requests that it has not accepted yet fail.
    async fn close(&mut self) -> io::Result<()> {
        let client = self.client.clone();
        tokio::spawn(async move { client.close().await });
        self.fail_waiting().await
    }

    async fn on_gateway_closed(&mut self) -> io::Result<()> {
        self.messages = None;
        self.fail_waiting().await
    }

    async fn fail_waiting(&mut self) -> io::Result<()> {
        self.phase = Phase::Closing;
        self.held_bytes = 0;
        for (request, _) in std::mem::take(&mut self.held) {
            self.open.add(&request);
            self.end(request.id, Err(Reason::closed())).await?;
        }
        let entries = self.devices.values_mut();
        let waiting = entries.filter_map(|entry| match entry {
            DeviceEntry::Attaching(_, waiting) | DeviceEntry::Detaching(waiting) => {
                Some(std::mem::take(waiting))
            }
            DeviceEntry::Ready(_) => None,
        });
        for request in waiting.flatten().collect::<Vec<_>>() {
            self.end(request.id, Err(Reason::closed())).await?;
        }
        Ok(())
    }
}
