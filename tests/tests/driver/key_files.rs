//! Key files that are replaced, damaged and mended while the gateway runs, against the emulator.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use iotcore_gateway::{
    Algorithm, ClientId,
    auth::KeyError,
    driver::{
        Attach, Client, KeyTokens, Security, Setup, Status, StatusChanges, error::KeyFileError,
    },
};
use iotcore_gateway_testkit::{
    AuthMethod, Settings,
    link::{BOUND, GATEWAY, registry},
    simulation::{SimRuntime, Simulation},
};

use super::{id, poll_once};

const KEY: &str = include_str!("../../src/link/gateway.key.pem");
const OTHER_KEY: &str = include_str!("../../fixtures/es256_other_private.pem");
const OTHER_PUBLIC: &str = include_str!("../../fixtures/es256_other_public.pem");

/// Two files with the key, removed on drop.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let name = format!("keys-{}-{name}", std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        let files = Self { folder };
        files.write(KEY);
        files
    }

    fn gateway(&self) -> PathBuf {
        self.folder.join("gateway.pem")
    }

    fn device(&self) -> PathBuf {
        self.folder.join("device.pem")
    }

    fn write(&self, text: &str) {
        for file in [self.gateway(), self.device()] {
            fs::write(file, text).unwrap();
        }
    }

    fn tokens(&self) -> KeyTokens {
        let tokens = KeyTokens::from_pem_file(self.gateway(), Algorithm::Es256).unwrap();
        let (device, file) = (id(BOUND[0]), self.device());
        tokens
            .device_key_file(device, file, Algorithm::Es256)
            .unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Starts a gateway whose devices prove themselves by their tokens.
fn start(simulation: &Simulation, tokens: Arc<KeyTokens>) -> (SimRuntime, Client) {
    let world = simulation.runtime();
    let client_id = ClientId::new(
        "my-project".try_into().unwrap(),
        "us-central1".try_into().unwrap(),
        "my-registry".try_into().unwrap(),
        GATEWAY.try_into().unwrap(),
    );
    let setup = Setup::new("localhost", Security::PlainOnLoopback, client_id, tokens).seed(1);
    let (client, driver) = setup.start(world.clone()).unwrap();
    drop(simulation.spawn(driver.run()));
    (world, client)
}

/// Returns the warnings that have not been read yet. Nothing else may be wrong with tokens.
fn warnings(status: &mut StatusChanges) -> Vec<(String, String)> {
    let mut warnings = Vec::new();
    while let Some(Some(change)) = poll_once(status.next()) {
        match change {
            Status::TokenWarning { device, error } => {
                warnings.push((device.to_string(), error.to_string()));
            }
            Status::Disconnected {
                error: Some(error), ..
            } => {
                assert!(!error.to_string().contains("token"), "{error}");
            }
            Status::ErrorReport(report) => panic!("{report}"),
            _ => {}
        }
    }
    warnings
}

#[test]
fn a_replaced_key_is_used_from_the_next_token_on_and_a_damaged_one_is_told() {
    let simulation = Simulation::with_bridge(
        registry(AuthMethod::DeviceAuthTokenOnly),
        Settings::default(),
        None,
    );
    let files = Files::new("replaced");
    let (world, client) = start(&simulation, Arc::new(files.tokens()));
    let mut status = client.status();
    let device = simulation
        .run(client.attach(Attach::new(id(BOUND[0]))))
        .unwrap();
    // Both tokens expire while the machine sleeps.
    let works_after_a_sleep = |text: &'static str| {
        world.suspend(Duration::from_secs(7_200));
        let delivery = simulation.run(device.telemetry(text)).unwrap();
        simulation.run(delivery).unwrap();
    };
    assert_eq!(warnings(&mut status), []);

    files.write("damaged");
    works_after_a_sleep("with the old key");
    let told = warnings(&mut status);
    let of = |name: &str| {
        told.iter()
            .find(|(device, _)| device == name)
            .map(|(_, told)| told)
    };
    for (name, file) in [(GATEWAY, files.gateway()), (BOUND[0], files.device())] {
        let told = of(name).unwrap();
        let expected = format!("no key for ES256 in {}: the key is not PEM", file.display());
        assert!(told.starts_with(&expected), "{told}");
        assert!(
            told.ends_with("tokens are signed with the key that was read before"),
            "{told}"
        );
    }

    files.write(OTHER_KEY);
    world.with(|bridge, _| {
        bridge.set_public_keys(GATEWAY, &[OTHER_PUBLIC]).unwrap();
        bridge.set_public_keys(BOUND[0], &[OTHER_PUBLIC]).unwrap();
    });
    works_after_a_sleep("with the new key");
    assert_eq!(warnings(&mut status), []);
}

#[test]
fn a_key_file_that_cannot_be_used_at_first_is_an_error_that_names_it() {
    let files = Files::new("first");
    let missing = files.folder.join("missing.pem");
    let error = KeyTokens::from_pem_file(&missing, Algorithm::Es256).unwrap_err();
    assert!(matches!(&error, KeyFileError::Unreadable { path, .. } if *path == missing));
    let expected = format!("cannot read the key file {}: ", missing.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    let error = KeyTokens::from_pem_file(files.gateway(), Algorithm::Rs256).unwrap_err();
    let KeyFileError::Unusable {
        algorithm: Algorithm::Rs256,
        error: problem,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*problem, KeyError::EcForRs256);
    let tokens = files.tokens();
    let error = tokens
        .device_key_file(id("meter-1"), missing, Algorithm::Es256)
        .unwrap_err();
    assert!(
        matches!(error, KeyFileError::Unreadable { .. }),
        "{error:?}"
    );
}

#[test]
fn a_file_without_an_end_is_no_key() {
    let endless = PathBuf::from("/dev/zero");
    if endless.exists() {
        let error = KeyTokens::from_pem_file(endless, Algorithm::Es256).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("it has more than 16777216 bytes"),
            "{error}"
        );
    }
}

#[test]
fn reloading_returns_an_error_for_each_file_that_cannot_be_used() {
    let files = Files::new("reloaded");
    let tokens = files.tokens();
    assert!(tokens.reload().is_empty());
    fs::write(files.device(), "").unwrap();
    let errors = tokens.reload();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0]
            .to_string()
            .contains("device.pem: the key is empty")
    );
    fs::remove_file(files.gateway()).unwrap();
    assert_eq!(tokens.reload().len(), 2);
    files.write(OTHER_KEY);
    assert!(tokens.reload().is_empty());
}
