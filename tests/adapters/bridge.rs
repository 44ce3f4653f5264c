//! An adapter against the bridge emulator, over TLS on loopback, with tokens from real keys.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use iotcore_gateway_testkit::{
    AuthMethod, EventKind, Registry, Settings,
    keys::{DeviceKey, ServerIdentity},
    serve::{Server, tls},
};

use crate::runtime::{
    adapter::{
        Algorithm, Client, ClientId, DeviceId, Failure, KeyTokens, MessageKind, Options, Security,
        Setup, Tls,
        auth::SigningKey,
        closed::Closed,
        connect,
        error::{AttachError, OperationError},
        error_report::ErrorType,
    },
    run, spawn, yield_now,
};

/// The telemetry that the bridge has received, by device.
type Taken = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

pub(crate) struct Bridge {
    pub(crate) server: Server,
    identity: ServerIdentity,
    gateway: DeviceKey,
    devices: BTreeMap<&'static str, DeviceKey>,
    pub(crate) taken: Taken,
}

/// A bridge with one gateway and two devices, one of which is bound to it.
pub(crate) fn bridge(method: AuthMethod) -> Bridge {
    let gateway = DeviceKey::generate().unwrap();
    let mut registry = Registry::new("plant", "us-central1", "sensors").unwrap();
    registry
        .add_gateway("gateway-1", &[&gateway.public_pem], method)
        .unwrap();
    let devices = ["bound", "stranger"].map(|id| {
        let key = DeviceKey::generate().unwrap();
        registry.add_device(id, &[&key.public_pem]).unwrap();
        (id, key)
    });
    registry.bind("gateway-1", "bound").unwrap();

    let identity = ServerIdentity::generate().unwrap();
    let config = tls::server_config(&identity.certificate_pem, &identity.key_pem).unwrap();
    let taken = Taken::default();
    let log = Arc::clone(&taken);
    let on_event = move |event: &iotcore_gateway_testkit::Event| {
        if let EventKind::Telemetry {
            device, payload, ..
        } = &event.kind
        {
            let payload = String::from_utf8(payload.0.to_vec()).unwrap();
            let mut log = log.lock().unwrap();
            log.entry(device.clone()).or_default().push(payload);
        }
    };
    let address = "127.0.0.1:0";
    let server = Server::start(
        registry,
        Settings::default(),
        address,
        Some(config),
        on_event,
    );
    Bridge {
        server: server.unwrap(),
        identity,
        gateway,
        devices: devices.into(),
        taken,
    }
}

fn signing_key(key: &DeviceKey) -> SigningKey {
    SigningKey::from_pem(key.private_pem.as_bytes(), Algorithm::Es256).unwrap()
}

impl Bridge {
    pub(crate) fn tokens(&self) -> KeyTokens {
        KeyTokens::new(signing_key(&self.gateway))
    }

    fn connect(
        &self,
        tokens: KeyTokens,
        options: Options,
    ) -> (Client, impl Future<Output = Closed> + use<>) {
        let (client, driver) = connect(self.setup(tokens, options)).unwrap();
        (client, spawn(driver.run()))
    }

    pub(crate) fn setup(&self, tokens: KeyTokens, options: Options) -> Setup<KeyTokens> {
        let id = ClientId::new(
            "plant".parse().unwrap(),
            "us-central1".parse().unwrap(),
            "sensors".parse().unwrap(),
            "gateway-1".parse().unwrap(),
        );
        let tls = Tls::from_pem(self.identity.ca_pem.as_bytes()).unwrap();
        Setup::new("localhost", Security::Tls(tls), id, tokens)
            .port(self.server.local_addr().port())
            .options(options)
    }
}

fn id(id: &str) -> DeviceId {
    id.parse().unwrap()
}

#[test]
fn a_device_receives_its_config_and_commands_and_an_unbound_one_is_refused() {
    run(async || {
        let bridge = bridge(AuthMethod::AssociationOnly);
        let (client, driver) = bridge.connect(bridge.tokens(), Options::default());
        let bound = client.attach(id("bound")).await.unwrap();
        let mut messages = bound.messages();
        let config = messages.next().await.unwrap();
        assert_eq!(
            (config.kind, &config.payload[..]),
            (MessageKind::Config, &b""[..])
        );
        bridge
            .server
            .with(|bridge, now| bridge.send_command("bound", Some("valve"), "open", now))
            .unwrap();
        let command = messages.next().await.unwrap();
        let subfolder = Some("valve".to_owned());
        assert_eq!(command.kind, MessageKind::Command { subfolder });
        assert_eq!(command.payload, "open");

        let error = client.attach(id("stranger")).await.unwrap_err();
        let AttachError::Attach(OperationError::Failed(Failure::Reported(report)), Some(_)) = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(*report.error_type(), ErrorType::AttachmentError);

        bound.report_state("warm").await.unwrap().await.unwrap();
        bound.detach().await.unwrap();
        assert!(messages.next().await.is_none());
        assert!(client.close().await.unsent.is_empty());
        driver.await;
    });
}

#[test]
fn a_device_attaches_by_the_token_of_its_own_key() {
    run(async || {
        let bridge = bridge(AuthMethod::DeviceAuthTokenOnly);
        let tokens = bridge
            .tokens()
            .device_key(id("stranger"), signing_key(&bridge.devices["stranger"]));
        let (client, driver) = bridge.connect(tokens, Options::default());
        let device = client.attach(id("stranger")).await.unwrap();
        device.telemetry("here").await.unwrap().await.unwrap();
        client.attach(id("bound")).await.unwrap_err();
        client.close().await;
        driver.await;
    });
}

#[test]
fn every_message_arrives_although_the_connection_is_cut_repeatedly() {
    run(async || {
        const CUTS: usize = 8;
        const MESSAGES: usize = 200;
        let bridge = bridge(AuthMethod::AssociationOnly);
        let mut options = Options::default();
        options.backoff.min = Duration::from_millis(5);
        options.backoff.max = Duration::from_millis(20);
        options.device_queue.messages = 50;
        let (client, driver) = bridge.connect(bridge.tokens(), options);
        let mut senders = Vec::new();
        for device in [client.gateway(), client.attach(id("bound")).await.unwrap()] {
            senders.push(spawn(async move {
                let mut deliveries = Vec::new();
                for n in 0..CUTS * MESSAGES {
                    deliveries.push(device.telemetry(n.to_string()).await.unwrap());
                }
                for delivery in deliveries {
                    delivery.await.unwrap();
                }
            }));
        }
        for cut in 1..=CUTS {
            let published = (cut * MESSAGES) as u64;
            while client.stats().published < published {
                yield_now().await;
            }
            // If it is not connected, there is nothing to cut.
            let _ = bridge
                .server
                .with(|bridge, now| bridge.drop_connection("gateway-1", now));
        }
        for sender in senders {
            sender.await;
        }
        assert!(client.stats().connections > 1);
        assert!(client.close().await.unsent.is_empty());
        driver.await;
        let taken = bridge.taken.lock().unwrap();
        for device in ["gateway-1", "bound"] {
            let payloads = &taken[device];
            for n in 0..CUTS * MESSAGES {
                assert!(payloads.contains(&n.to_string()), "{device} lost {n}");
            }
        }
    });
}
