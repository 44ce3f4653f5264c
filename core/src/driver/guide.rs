//! How to start without a network, handle a refused device, remove a device, shut down, and more, with examples that
//! run.
//!
//! In them, `client` is the [`Client`](crate::driver::Client) that an adapter's `connect` returns with the driver,
//! whose `run` has been spawned; `spawn` is the runtime's. What is not at the crate's root is in the module of its
//! subject: errors in [`error`](crate::driver::error), a message's priority, QoS and tag in
//! [`message`](crate::message), the states of a device in [`device`](crate::device).
//!
//! # See what happens
//!
//! Each attempt to connect, each device that is attached or lost, and each report of the bridge is a
//! [`Status`](crate::driver::Status), which displays as a sentence. A program that reads none looks as if it hung when
//! the host is wrong. Ask for it before you spawn the driver, to miss nothing.
//!
//! ```
//! # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
//! # use iotcore_gateway::{*, device::DeviceState, driver::{*, error::*}, message::*, options::*};
//! # bridge::on_bridge(async |client, world| {
//! # let spawn = |task| world.spawn(task);
//! let mut status = client.status();
//! spawn(async move {
//!     while let Some(change) = status.next().await {
//!         eprintln!("{change}"); // not connected: …; connecting again in 1.4s (cannot connect to …)
//!     }
//! });
//! # client.connected().await?;
//! # Ok(())
//! # });
//! ```
//!
//! # Accepted, then acknowledged
//!
//! [`Device::telemetry`](crate::driver::Device::telemetry) completes when the gateway has accepted the message, and
//! returns a [`Delivery`](crate::driver::Delivery) that completes when the bridge has acknowledged it. What is accepted
//! is kept across connections until then. A handle hands its command to the gateway in one step under one lock: a
//! future that is dropped has either been accepted or changed nothing.
//!
//! ```
//! # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
//! # use iotcore_gateway::{*, device::DeviceState, driver::{*, error::*}, message::*, options::*};
//! # bridge::on_bridge(async |client, world| {
//! # let boiler = client.attach("boiler-7".parse::<DeviceId>()?).await?;
//! let mut deliveries = Vec::new();
//! for reading in ["71", "72", "73"] {
//!     deliveries.push(boiler.telemetry(reading).await?); // waits only while the queue is full
//! }
//! # world.unplug();
//! # world.plug_in();
//! for delivery in deliveries {
//!     delivery.await?; // the bridge has it, after however many connections
//! }
//! # assert_eq!(world.arrived("/devices/boiler-7/events").len(), 3);
//! # Ok(())
//! # });
//! ```
//!
//! # A start without a network
//!
//! A box may boot before its network is up. [`Attaching::accepted`](crate::driver::pending::Attaching::accepted)
//! returns the device at once: what it sends is accepted and kept, and goes out as soon as there is a connection.
//! [`keep_waiting`](crate::driver::Attach::keep_waiting) lets the attach itself wait for that. An attach without it
//! ends with [`NotConnected`](crate::driver::error::AttachError::NotConnected) once an attempt to connect has failed,
//! which says why; the gateway goes on, and has the device as well.
//!
//! ```
//! # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
//! # use iotcore_gateway::{*, device::DeviceState, driver::{*, error::*}, message::*, options::*};
//! # bridge::on_bridge(async |client, world| {
//! # world.unplug();
//! let mut attaching = client.attach(Attach::new("boiler-7".parse()?).keep_waiting());
//! let boiler = attaching.accepted().await?; // at once, with no connection
//! let delivery = boiler.telemetry("71").await?; // kept
//!
//! // Without `keep_waiting`: why there is no connection, and the device all the same.
//! let error = client.attach("valve-3".parse::<DeviceId>()?).await.unwrap_err();
//! eprintln!("{error}");
//! let valve = error.into_device().expect("it is attached with the first connection");
//! valve.report_state("closed").await?;
//!
//! # world.plug_in();
//! attaching.await?; // the network is up: attached and subscribed
//! delivery.await?;
//! # assert_eq!(world.arrived("/devices/boiler-7/events"), ["71"]);
//! # Ok(())
//! # });
//! ```
//!
//! The queues have limits ([`QueueLimit`](crate::options::QueueLimit)), by default 1,000 messages or 1 MiB for each
//! device. When one is full, `telemetry` waits, `try_telemetry` returns the message, or the oldest one is dropped
//! ([`Overflow`](crate::options::Overflow)).
//!
//! # A refused device
//!
//! The bridge refuses a device that the registry lacks, that is blocked, that is not bound to the gateway, or whose
//! token is wrong. The others are not affected. The gateway keeps a refused device, and does not ask again by itself:
//! attach it again once the cause is removed, or detach it. Its messages end with
//! [`Failure::DeviceRefused`](crate::Failure::DeviceRefused) and are handed back, unless
//! [`OnRefusal`](crate::options::OnRefusal) says that they stay.
//!
//! ```
//! # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
//! # use iotcore_gateway::{*, device::DeviceState, driver::{*, error::*}, message::*, options::*};
//! # bridge::on_bridge(async |client, world| {
//! let id: DeviceId = "stranger-1".parse()?;
//! match client.attach(&id).await {
//!     Ok(device) => drop(device.telemetry("here").await?),
//!     Err(AttachError::Attach(OperationError::Failed(Failure::Reported(report)), Some(device))) => {
//!         eprintln!("{id} is refused: {report}"); // GATEWAY_ATTACHMENT_ERROR …: not bound to the gateway
//!         if device.status() == Some(DeviceState::Refused) {
//!             device.detach().await?; // forget it, or bind it in the registry and attach it again
//!         }
//!     }
//!     Err(error) => return Err(error.into()),
//! }
//! # assert!(client.device(&id).is_none());
//! # Ok(())
//! # });
//! ```
//!
//! # Removing a device
//!
//! [`detach`](crate::driver::Device::detach) lets what the device has sent go out first, for at most
//! [`drain_timeout`](crate::Options::drain_timeout), then sends the detach. Its handles send nothing any more, and its
//! [`Messages`](crate::driver::Messages) end. Dropping a handle does not detach the device.
//!
//! ```
//! # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
//! # use iotcore_gateway::{*, device::DeviceState, driver::{*, error::*}, message::*, options::*};
//! # bridge::on_bridge(async |client, world| {
//! let id: DeviceId = "boiler-7".parse()?;
//! let boiler = client.attach(&id).await?;
//! let mut messages = boiler.messages();
//! let last = boiler.telemetry("71").await?;
//!
//! boiler.detach().await?; // PUBACK, also of the last reading
//! last.await?;
//! assert!(client.device(&id).is_none());
//! assert!(boiler.telemetry("72").await.is_err());
//! while let Some(message) = messages.next().await {
//!     eprintln!("came before the end: {:?}", message.kind);
//! }
//! # Ok(())
//! # });
//! ```
//!
//! # Late, urgent and cancelled messages
//!
//! A message can [expire](crate::driver::Telemetry::expires_after), be [urgent](crate::driver::Telemetry::priority),
//! and carry a [tag](crate::driver::Telemetry::tag) of the user's own.
//! [`Delivery::cancel`](crate::driver::Delivery::cancel) and [`Client::cancel`](crate::driver::Client::cancel) take it
//! back. One that fails is returned by its delivery, with its tag and the time that was left; if that was dropped,
//! [`Status::Undelivered`](crate::driver::Status::Undelivered) counts it.
//! [`Client::devices`](crate::driver::Client::devices) shows what each device has queued and in flight, and its last
//! failure; [`Client::stats`](crate::driver::Client::stats) how soon the bridge answers.
//!
//! ```
//! # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
//! # use iotcore_gateway::{*, device::DeviceState, driver::{*, error::*}, message::*, options::*};
//! # bridge::on_bridge(async |client, world| {
//! # let boiler = client.attach("boiler-7".parse::<DeviceId>()?).await?;
//! # world.unplug();
//! let minute = std::time::Duration::from_secs(60);
//! let reading = Telemetry::new("21.5").expires_after(minute).tag("reading 17".parse()?);
//! let alarm = Telemetry::new("overheated").priority(Priority::Urgent);
//! let reading = boiler.telemetry(reading).await?;
//! let alarm = boiler.telemetry(alarm).await?;
//!
//! // The network is down for longer than a minute.
//! if let Err(DeliveryError::Failed { failure, unsent }) = reading.await {
//!     assert_eq!(failure, Failure::Expired);
//!     eprintln!("{:?} is given up: {failure}", unsent.tag);
//! }
//! # world.plug_in();
//! alarm.await?;
//! # Ok(())
//! # });
//! ```
//!
//! # When nobody reads
//!
//! For outgoing messages, full queues make [`Device::telemetry`](crate::driver::Device::telemetry) wait. A config or
//! command is acknowledged when it is taken from [`Messages`](crate::driver::Messages), and at
//! [`max_unacknowledged`](crate::Options::max_unacknowledged) of them the driver stops reading, for 5 s at most: a
//! device whose messages nobody takes stops no other. Its commands are then acknowledged, and dropped oldest first; its
//! newest config is kept, and acknowledged only when somebody takes it. [`Status`](crate::driver::Status) reports it. A
//! reader of the status applies back-pressure only if it asks for that with
//! [`StatusChanges::holding`](crate::driver::StatusChanges::holding).
//!
//! # Shutdown
//!
//! [`Client::close`](crate::driver::Client::close) sends what can still be sent, disconnects, and returns what is left
//! unsent.
//! **Without a connection it takes up to [`drain_timeout`](crate::Options::drain_timeout), 10 s by default**, if
//! anything is unsent, because the network may come back meanwhile. A program that has less time, such as one that a
//! service manager stops, sets less in its options, or zero: then what is unsent is returned at once.
//! [`Client::unsent`](crate::driver::Client::unsent) returns it at any time and ends nothing.
//!
//! ```
//! # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
//! # use iotcore_gateway::{*, device::DeviceState, driver::{*, error::*}, message::*, options::*};
//! # let world = bridge::World::new();
//! # let (setup, runtime) = (world.setup(), world.clone());
//! # let begun = driver::Runtime::now(&world);
//! # world.unplug();
//! # world.run(async {
//! let mut options = Options::default();
//! options.drain_timeout = std::time::Duration::from_secs(2);
//! let (client, driver) = setup.options(options).start(runtime)?;
//! # world.spawn(async { drop(driver.run().await) });
//! let boiler = client.attach(Attach::new("boiler-7".parse()?).keep_waiting()).accepted().await?;
//! boiler.telemetry("71").await?; // there is no network
//!
//! let left = client.close().await.unsent; // after 2 s
//! # assert_eq!((driver::Runtime::now(&world) - begun).as_secs(), 2);
//!
//! // In the next process, whose network is up again:
//! # world.plug_in();
//! # let (client, driver) = world.setup().start(world.clone())?;
//! # world.spawn(async { drop(driver.run().await) });
//! for unsent in left {
//!     let device = client.attach(Attach::new(unsent.device.clone()).keep_waiting()).accepted().await?;
//!     device.send_again(unsent).await?.await?;
//! }
//! # assert_eq!(world.arrived("/devices/boiler-7/events"), ["71"]);
//! # Ok(())
//! # });
//! ```
//!
//! With the feature `serde`, what is left can be written to a file meanwhile. Dropping every handle closes the gateway
//! as well, and nobody gets what is unsent. Dropping the driver ends every pending future with
//! [`DriverStopped`](crate::driver::error::DriverStopped), and sends nothing.
//!
//! # Messages that survive a power cut
//!
//! With the feature `store` and a [`Setup::store`](crate::driver::Setup::store), what is accepted survives the end of the
//! process, and of the power. [`Delivery::stored`](crate::driver::Delivery::stored) completes once the message is safe:
//! acknowledged by the bridge, or on the disk, whichever comes first. What the bridge acknowledges within
//! [`linger`](crate::options::Durability::linger), 1 s, is never written, so that a healthy link wears out no flash.
//!
//! ```
//! # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
//! # #[cfg(feature = "store")] {
//! # use iotcore_gateway::{*, driver::{*, error::*, store::SegmentStore}};
//! # let folder = std::env::temp_dir().join(format!("iotcore-gateway-guide-{}", std::process::id()));
//! # let world = bridge::World::new();
//! # let (setup, runtime) = (world.setup(), world.clone());
//! # let begun = driver::Runtime::now(&world);
//! # world.unplug();
//! # world.run(async {
//! let store = SegmentStore::open(&folder)?; // "/var/lib/gateway/store": of this gateway alone
//! let (client, driver) = setup.store(store).start(runtime)?;
//! # let driver = driver.run();
//! # let (stop, stopped) = std::sync::mpsc::channel::<()>();
//! # let mut driver = Box::pin(driver);
//! # world.spawn(std::future::poll_fn(move |cx| match stopped.try_recv() {
//! #     Err(std::sync::mpsc::TryRecvError::Empty) => driver.as_mut().poll(cx).map(drop),
//! #     _ => std::task::Poll::Ready(()),
//! # }));
//! let boiler = client.attach(Attach::new("boiler-7".parse()?).keep_waiting()).accepted().await?;
//! let delivery = boiler.telemetry("71").await?; // there is no network
//! match delivery.stored().await {
//!     Ok(()) => println!("it arrives, whatever happens to this machine's power"),
//!     Err(StoredError::StoreFailed(failure)) => eprintln!("in memory only: {failure}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # drop((delivery, boiler, client, stop));
//! # driver::Runtime::sleep_until(&world, begun + std::time::Duration::from_secs(60)).await;
//!
//! // After the power cut, when the network is up again:
//! # world.plug_in();
//! # let (setup, runtime) = (world.setup(), world.clone());
//! let (client, driver) = setup.store(SegmentStore::open(&folder)?).start(runtime)?;
//! let mut status = client.status();
//! # world.spawn(async { drop(driver.run().await) });
//! while let Some(change) = status.next().await {
//!     match change {
//!         Status::Restored { messages } => println!("{messages} messages were left"),
//!         Status::Unclaimed { device, .. } => {
//!             let boiler = client.attach(device).await?; // or drop them: `client.device(&device)`, then `detach`
//! #           driver::Runtime::sleep_until(&world, begun + std::time::Duration::from_secs(120)).await;
//! #           break;
//!         }
//!         other => eprintln!("{other}"),
//!     }
//! }
//! # assert_eq!(world.arrived("/devices/boiler-7/events"), ["71"]);
//! # std::fs::remove_dir_all(folder)?;
//! # Ok(())
//! # });
//! # }
//! ```
//!
//! When the disk is full or fails, [`Status::StoreFailed`](crate::driver::Status::StoreFailed) reports it, and by default
//! nothing more is accepted until it works ([`OnStoreFailure`](crate::options::OnStoreFailure)). It is never only in memory
//! without being reported.
