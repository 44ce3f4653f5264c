//! The driver and its handles, in the scenario of the examples and with its failures.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use iotcore_gateway::driver::{
    Attach, Client, Device, Runtime, Security, Setup, Status, Tls,
    token_source::{BoxError, TokenRequest, TokenSource},
};
use iotcore_gateway::{
    Algorithm, DeviceId, Options,
    auth::{SigningKey, Token},
    message::{QoS, Subscription},
};
use iotcore_gateway_testkit::keys::ServerIdentity;
use iotcore_gateway_testkit::link::{BOUND, UNBOUND, registry};
use iotcore_gateway_testkit::simulation::{SimRuntime, Simulation};
use iotcore_gateway_testkit::{AuthMethod, EventKind, Settings};

use crate::{KEY, Secrets};

const SECOND: Duration = Duration::from_secs(1);

/// The secrets to search for, shared by all parts of a test.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Secrets>>);

impl Watch {
    fn with<T>(&self, act: impl FnOnce(&mut Secrets) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check(&self, place: &str, shown: &impl core::fmt::Debug) {
        self.with(|secrets| secrets.check(place, &format!("{shown:?} {shown:#?}")));
    }

    fn check_error(&self, place: &str, error: &(dyn core::error::Error + 'static)) {
        self.with(|secrets| secrets.check_error(place, error));
    }

    fn look(&self, simulation: &Simulation, client: &Client, device: Option<&Device>) {
        self.check("the client", client);
        self.check("the device", &device);
        self.check("the devices", &client.devices());
        self.check("the statistics", &client.stats());
        self.check("what is unsent", &client.unsent());
        self.check("the simulation", simulation);
        simulation.runtime().with(|bridge, _| {
            self.check("the bridge", bridge);
            while let Some(event) = bridge.poll_event() {
                let json = serde_json::to_string(&event).unwrap();
                self.with(|secrets| {
                    secrets.check("the bridge's log", &format!("{event} {event:?} {json}"));
                });
            }
        });
    }
}

/// A token source whose tokens are searched for from then on, or which returns an invalid one.
struct Tokens {
    key: SigningKey,
    watch: Watch,
    lifetime: Duration,
    gives: Gives,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gives {
    Good,
    Forged,
    Expired,
    Nothing,
}

impl Tokens {
    fn new(watch: &Watch, gives: Gives) -> Self {
        Self {
            key: SigningKey::from_pem(KEY.as_bytes(), Algorithm::Es256).unwrap(),
            watch: watch.clone(),
            lifetime: 100 * SECOND,
            gives,
        }
    }

    fn give(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        let project = request.client_id.project();
        let token = match self.gives {
            Gives::Good => self
                .key
                .token(project, self.lifetime, request.now, request.unix_now)?,
            Gives::Forged => Token::new(
                "marked-header.marked-claims.marked-signature",
                request.now + self.lifetime,
            )?,
            Gives::Expired => Token::new(
                "marked-header.marked-claims.marked-expired-one",
                request.now,
            )?,
            Gives::Nothing => return Err("the key is unavailable".into()),
        };
        self.watch
            .with(|secrets| secrets.add_text("token", token.expose()));
        Ok(token)
    }
}

impl TokenSource for Tokens {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        self.give(request)
    }

    async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
        Some(self.give(request))
    }
}

fn id(id: &str) -> DeviceId {
    id.parse().unwrap()
}

fn watch() -> Watch {
    let watch = Watch::default();
    watch.with(|secrets| secrets.add_key(KEY));
    watch
}

fn setup(simulation: &Simulation, security: Security, tokens: Tokens) -> Setup<Tokens> {
    let client_id = simulation.runtime().with(|bridge, _| {
        iotcore_gateway::ClientId::new(
            bridge.registry().project().parse().unwrap(),
            "us-central1".parse().unwrap(),
            "my-registry".parse().unwrap(),
            "gateway-1".parse().unwrap(),
        )
    });
    let mut options = Options::default();
    options.attach_timeout = 5 * SECOND;
    Setup::new("localhost", security, client_id, tokens)
        .options(options)
        .seed(1)
}

/// Reads the status to its end, and checks every change.
async fn read_status(client: Client, watch: Watch) -> Vec<Status> {
    let mut status = client.status();
    drop(client);
    watch.check("a reader of the status", &status);
    let mut changes = Vec::new();
    while let Some(change) = status.next().await {
        watch.check("a change", &change);
        match &change {
            Status::Disconnected { ended, error } => {
                let told = ended.reason.to_string();
                watch.with(|secrets| secrets.check("a reason", &told));
                if let Some(error) = error {
                    watch.check_error("a transport's error", &**error);
                }
            }
            Status::TokenFailed { error, .. } => watch.check_error("a token's error", &**error),
            Status::Failed { failure, .. } | Status::Undelivered { failure, .. } => {
                watch.check_error("a failure", failure);
            }
            _ => {}
        }
        changes.push(change);
    }
    changes
}

/// Does what the examples do: attaches, publishes, takes a config and a command, is refused, loses the connection,
/// outlives a token, and detaches.
async fn story(client: &Client, simulation: &Simulation, watch: &Watch) {
    let world = simulation.runtime();
    let extra = device_token(&world, watch);
    let attach = Attach::new(id(BOUND[0])).token(extra);
    watch.check("an attach", &attach);
    let attaching = client.attach(attach);
    let device = attaching.await.unwrap();
    let mut messages = device.messages();
    watch.check("messages", &messages);
    let accepting = device.telemetry(r#"{"celsius":21.5}"#);
    watch.check("a message that is not accepted yet", &accepting);
    let delivery = accepting.await.unwrap();
    watch.check("a delivery", &delivery);
    watch.look(simulation, client, Some(&device));
    delivery.await.unwrap();
    device.report_state("on").await.unwrap().await.unwrap();
    let config = messages.next().await.unwrap();
    watch.check("a config", &config);
    world.with(|bridge, now| {
        bridge
            .send_command(BOUND[0], Some("valve"), "close", now)
            .unwrap();
    });
    watch.check("a command", &messages.next().await.unwrap());

    let refused = client.attach(Attach::new(id(UNBOUND)).token(forged(&world, watch)));
    let error = refused.await.unwrap_err();
    watch.check_error("an attach that is refused", &error);
    let stranger = error.into_device().unwrap();
    let again = stranger.authorize(forged(&world, watch)).await;
    watch.check_error("a token that is refused", &again.unwrap_err());
    let stale = Token::new(
        "marked-header.marked-claims.marked-stale-token",
        world.now(),
    )
    .unwrap();
    watch.with(|secrets| secrets.add_text("stale token", stale.expose()));
    watch.check_error(
        "a stale token",
        &stranger.authorize(stale.clone()).await.unwrap_err(),
    );
    let attach = Attach::new(id(BOUND[1])).token(stale);
    let error = client.attach(attach).await.unwrap_err();
    watch.check_error("an attach with a stale token", &error);
    watch.look(simulation, client, Some(&stranger));

    world.cut();
    let late = device.telemetry("late").await.unwrap();
    watch.look(simulation, client, Some(&device));
    late.await.unwrap();
    world.sleep(200 * SECOND).await;
    watch.look(simulation, client, Some(&device));
    device
        .subscribe(Subscription::Commands, QoS::AtMostOnce)
        .await
        .unwrap();
    device.detach().await.unwrap();
    let gone = device.telemetry("gone").await.unwrap_err();
    watch.check_error("a message of a device that is gone", &gone);
}

fn device_token(world: &SimRuntime, watch: &Watch) -> Token {
    let key = SigningKey::from_pem(KEY.as_bytes(), Algorithm::Es256).unwrap();
    let project = "my-project".parse().unwrap();
    let token = key
        .token(&project, 150 * SECOND, world.now(), world.unix_now())
        .unwrap();
    watch.with(|secrets| secrets.add_text("device's token", token.expose()));
    token
}

fn forged(world: &SimRuntime, watch: &Watch) -> Token {
    let token = Token::new(
        "marked-header.marked-claims.marked-forgery",
        world.now() + 60 * SECOND,
    )
    .unwrap();
    watch.with(|secrets| secrets.add_text("forged token", token.expose()));
    token
}

#[test]
fn the_scenario_of_the_examples_shows_no_token() {
    let identity = ServerIdentity::generate().unwrap();
    let config = iotcore_gateway_testkit::serve::tls::server_config(
        &identity.certificate_pem,
        &identity.key_pem,
    );
    let registry = registry(AuthMethod::DeviceAuthTokenOnly);
    let simulation = Simulation::with_bridge(registry, Settings::default(), Some(config.unwrap()));
    let watch = watch();
    watch.with(|secrets| secrets.add_key(&identity.key_pem));
    let security = Security::Tls(Tls::from_pem(identity.ca_pem.as_bytes()).unwrap());
    watch.check("the security", &security);
    let setup = setup(&simulation, security, Tokens::new(&watch, Gives::Good));
    let (client, driver) = setup.start(simulation.runtime()).unwrap();
    watch.check("the driver", &driver);
    let reading = simulation.spawn(read_status(client.clone(), watch.clone()));
    let driver = simulation.spawn(driver.run());
    simulation.run(async {
        story(&client, &simulation, &watch).await;
        let closed = client.close().await;
        watch.check("the end", &closed);
        watch.check("the end of the driver", &driver.await);
        let changes = reading.await;
        let connections = changes
            .iter()
            .filter(|change| matches!(change, Status::Connected));
        assert!(
            connections.count() >= 4,
            "cut, and refreshed twice: {changes:#?}"
        );
    });
    watch.look(&simulation, &client, None);
    watch.with(|secrets| assert!(secrets.searched > 100_000, "{}", secrets.searched));
}

#[test]
fn an_attempt_that_fails_shows_no_token() {
    for (gives, reason) in [
        (Gives::Forged, "refused"),
        (Gives::Expired, "expired"),
        (Gives::Nothing, "no token"),
    ] {
        let simulation = Simulation::new();
        let watch = watch();
        let tokens = Tokens::new(&watch, gives);
        let setup = setup(&simulation, Security::PlainOnLoopback, tokens);
        let (client, driver) = setup.start(simulation.runtime()).unwrap();
        let reading = simulation.spawn(read_status(client.clone(), watch.clone()));
        let driver = simulation.spawn(driver.run());
        let world = simulation.runtime();
        let attaching = client.attach(id(BOUND[0]));
        simulation.run(async {
            let attaching = simulation.spawn(attaching);
            for _ in 0..50 {
                world.step().await;
                watch.look(&simulation, &client, None);
            }
            watch.check("the end", &client.close().await);
            driver.await;
            watch.check_error("the attach", &attaching.await.unwrap_err());
            let changes = reading.await;
            let ends = changes.iter().filter_map(|change| match change {
                Status::Disconnected { .. } => Some(change.to_string()),
                _ => None,
            });
            assert!(
                ends.clone().any(|end| end.contains(reason)),
                "{reason}: {:?}",
                ends.collect::<Vec<_>>()
            );
        });
        let was_connected = world.with(|bridge, _| {
            std::iter::from_fn(|| bridge.poll_event())
                .any(|event| matches!(event.kind, EventKind::Connected { .. }))
        });
        assert!(!was_connected, "{reason}");
    }
}

#[test]
fn a_token_in_a_setup_shows_nothing() {
    /// A source that stores its token, as a user may write one.
    #[derive(Debug)]
    struct Kept(Token);

    impl TokenSource for Kept {
        async fn gateway(&self, _: TokenRequest<'_>) -> Result<Token, BoxError> {
            Ok(self.0.clone())
        }
    }

    let simulation = Simulation::new();
    let watch = watch();
    let kept = Kept(device_token(&simulation.runtime(), &watch));
    let client_id = iotcore_gateway::ClientId::new(
        "plant".parse().unwrap(),
        "us-central1".parse().unwrap(),
        "sensors".parse().unwrap(),
        "gateway-1".parse().unwrap(),
    );
    let setup = Setup::new("localhost", Security::PlainOnLoopback, client_id, kept);
    watch.check("a setup", &setup);
    watch.check("options", &Options::default());
    let (client, driver) = setup.start(simulation.runtime()).unwrap();
    watch.check("a driver", &driver);
    watch.check("a client", &client);
}
