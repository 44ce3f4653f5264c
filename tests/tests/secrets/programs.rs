//! The programs: their standard output and standard error, and what the emulator logs about them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iotcore_gateway::{
    Algorithm,
    auth::{SigningKey, UnixTime},
};
use iotcore_gateway_testkit::keys::{DeviceKey, ServerIdentity};
use iotcore_gateway_testkit::serve::{Server, tls};
use iotcore_gateway_testkit::{AuthMethod, Event, Registry, Settings};
use serde_json::json;

use crate::Secrets;
use crate::executables::executable;

/// The time limit of a program.
const PATIENCE: Duration = Duration::from_secs(60);

/// An emulator over TLS, the files of its clients, and the secrets that must not be shown.
struct Cloud {
    server: Server,
    folder: PathBuf,
    key: DeviceKey,
    device_key: DeviceKey,
    secrets: Secrets,
    log: Arc<Mutex<String>>,
}

impl Cloud {
    /// `boiler-7` is bound to `gateway-1`, and devices of `gateway-2` need tokens.
    fn start() -> Self {
        let [key, device_key] = [(); 2].map(|()| DeviceKey::generate().unwrap());
        let identity = ServerIdentity::generate().unwrap();
        let mut secrets = Secrets::default();
        for pem in [&key.private_pem, &device_key.private_pem, &identity.key_pem] {
            secrets.add_key(pem);
        }
        let log = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&log);
        let on_event = move |event: &Event| {
            let json = serde_json::to_string(event).unwrap();
            *told.lock().unwrap() += &format!("{event}\n{event:?}\n{json}\n");
        };
        let config = tls::server_config(&identity.certificate_pem, &identity.key_pem).unwrap();
        let registry = registry(&key, &device_key);
        let address = "127.0.0.1:0";
        let server = Server::start(
            registry,
            Settings::default(),
            address,
            Some(config),
            on_event,
        )
        .unwrap();
        let name = format!("secrets-{}", server.local_addr().port());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ca.pem"), &identity.ca_pem).unwrap();
        fs::write(folder.join("key.pem"), &key.private_pem).unwrap();
        fs::write(folder.join("other.pem"), &device_key.private_pem).unwrap();
        Self {
            server,
            folder,
            key,
            device_key,
            secrets,
            log,
        }
    }

    fn path(&self, file: &str) -> String {
        self.folder.join(file).to_str().unwrap().to_owned()
    }

    /// Returns the command of a program with its address, gateway and key.
    fn program(&self, name: &str, gateway: &str, key: &str) -> Command {
        let mut program = Command::new(executable(name));
        program.env_clear();
        for (option, value) in [
            ("host", "localhost"),
            ("port", &self.server.local_addr().port().to_string()),
            ("project", "plant"),
            ("location", "us-central1"),
            ("registry", "sensors"),
            ("gateway", gateway),
            ("algorithm", "ES256"),
            ("ca", &self.path("ca.pem")),
            ("key", key),
        ] {
            program.args([&format!("--{option}"), value]);
        }
        if name == "gateway" {
            program.args(["--device", "boiler-7"]);
        } else {
            program.args(["--no-reconnect"]);
        }
        program
    }

    /// Returns a token of `boiler-7`. Its signature is searched for from now on: the rest is not secret, and the
    /// beginning of a text that is not a valid id is shown.
    fn device_token(&mut self, audience: &str) -> String {
        let key = SigningKey::from_pem(self.device_key.private_pem.as_bytes(), Algorithm::Es256);
        #[expect(clippy::disallowed_methods, reason = "the programs have real clocks")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = UnixTime::from_secs(now.as_secs());
        let hour = Duration::from_secs(3_600);
        let audience = audience.parse().unwrap();
        let token = key.unwrap().mint(&audience, now, hour).unwrap();
        let (_, signature) = token.rsplit_once('.').unwrap();
        self.secrets.add_text("token's signature", signature);
        token
    }

    /// Runs a program, and checks its output. Returns the output, and whether it succeeded.
    fn check(&mut self, program: &mut Command, input: &str) -> (String, bool) {
        let output = run(program, input);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        self.secrets.check("a program", &said);
        (said, output.status.success())
    }

    /// Checks what the emulator has logged and stores.
    fn end(mut self) -> String {
        let held = self.server.with(|bridge, _| format!("{bridge:?}"));
        let shown = format!("{held} {:?} {:?}", self.server, self.key);
        self.secrets.check("the emulator", &shown);
        // Before the port, which is part of its name, is reused.
        fs::remove_dir_all(self.folder).unwrap();
        self.server.shutdown();
        let log = self.log.lock().unwrap().clone();
        self.secrets.check("the emulator's log", &log);
        log
    }
}

fn registry(key: &DeviceKey, device_key: &DeviceKey) -> Registry {
    let mut registry = Registry::new("plant", "us-central1", "sensors").unwrap();
    let keys = [key.public_pem.as_str()];
    for (gateway, method) in [
        ("gateway-1", AuthMethod::AssociationOnly),
        ("gateway-2", AuthMethod::DeviceAuthTokenOnly),
    ] {
        registry.add_gateway(gateway, &keys, method).unwrap();
    }
    let device_keys = [device_key.public_pem.as_str()];
    for device in ["boiler-7", "pump-1"] {
        registry.add_device(device, &device_keys).unwrap();
    }
    registry.bind("gateway-1", "boiler-7").unwrap();
    registry
}

#[test]
fn the_example_on_the_terminal_shows_no_secret() {
    let mut cloud = Cloud::start();
    let mut program = cloud.program("gateway", "gateway-1", &cloud.path("key.pem"));
    let (said, is_good) = cloud.check(&mut program, "");
    assert!(is_good && said.contains("attached: PUBACK"), "{said}");
    let mut program = cloud.program("gateway", "gateway-1", &cloud.path("other.pem"));
    let (said, is_good) = cloud.check(&mut program, "");
    assert!(!is_good && said.contains("return code"), "{said}");
    let mut alone = Command::new(executable("gateway"));
    let (said, is_good) = cloud.check(alone.env_clear(), "");
    assert!(is_good && said.contains("each as it should be"), "{said}");
    // The test does not know its keys, but all JWTs begin alike, and so do all keys.
    assert!(!said.contains("eyJ") && !said.contains("PRIVATE"), "{said}");
    let log = cloud.end();
    assert!(
        log.contains("CONNECTED") && log.contains("REFUSED"),
        "{log}"
    );
}

#[test]
fn the_example_without_a_runtime_shows_no_secret() {
    let mut cloud = Cloud::start();
    let port = cloud.server.local_addr().port().to_string();
    for (key, is_delivered) in [("key.pem", true), ("ca.pem", false)] {
        let mut program = Command::new(executable("blocking"));
        program.args(["localhost", &port, &cloud.path("ca.pem")]);
        program.args(["plant", "us-central1", "sensors", "gateway-1"]);
        program.args([&cloud.path(key), "boiler-7"]);
        let (said, is_good) = cloud.check(&mut program, "");
        assert_eq!(is_good, is_delivered, "{said}");
    }
    cloud.end();
}

#[test]
fn a_relay_shows_no_token_from_its_input() {
    let mut cloud = Cloud::start();
    let good = cloud.device_token("plant");
    let foreign = cloud.device_token("elsewhere");
    let unsigned = good.rsplit_once('.').unwrap().0;
    let spoilt = [
        format!("{good}\n"),
        format!(" {good}"),
        format!("Bearer {good}"),
        format!("{good}.{good}"),
        good.replace('.', ":"),
        unsigned.to_owned(),
        foreign,
    ];
    let mut lines = vec![json!({"op": "attach", "id": "a", "device": "boiler-7", "token": good})];
    for (n, token) in spoilt.iter().enumerate() {
        lines.extend([
            json!({"op": "attach", "id": 2 * n, "device": "pump-1", "token": token}),
            json!({"op": "authorize", "id": 2 * n + 1, "device": "pump-1", "token": token}),
        ]);
    }
    // A token in place of another value.
    lines.extend([
        json!({"op": "attach", "id": "b", "device": format!("+{good}")}),
        json!({"op": "attach", "id": "c", "device": "boiler-7", "token": [good]}),
        json!({"op": "attach", "id": "d", "device": "boiler-7", "token": {"jwt": good}}),
        json!({"op": "attach", "id": "e", "device": "boiler-7", "config": good}),
        json!({"op": "telemetry", "id": "f", "subfolder": format!("/{good}"), "payload": ""}),
        json!({"op": "telemetry", "id": "g", "qos": good, "payload": ""}),
        json!({"op": "telemetry", "id": "j", "priority": good, "payload": ""}),
        json!({"op": "telemetry", "id": "k", "expires_after": good, "payload": ""}),
        json!({"op": "telemetry", "id": "l", "tag": good, "payload": ""}),
        json!({"op": "acknowledge", "delivery": good}),
        json!({"op": "cancel", "id": good}),
        json!({"op": good, "id": "h"}),
        json!({"op": "authorize", "id": "i", "device": "boiler-7", &good: "token"}),
        json!([good]),
        json!(good),
    ]);
    let mut input = lines
        .iter()
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    input += &format!(
        "{good}\n{{\"op\":\"attach\",\"token\":\"{good}\n{{\"op\":\"attach\",\"token\":{good}}}\n"
    );
    let mut program = cloud.program("iotcore-relay", "gateway-2", &cloud.path("key.pem"));
    let (said, is_good) = cloud.check(&mut program, &input);
    assert!(is_good, "{said}");
    for part in [
        "\"attached\"",
        "illegal_token",
        "GATEWAY_ATTACHMENT_ERROR",
        "\"invalid\"",
        "\"closed\"",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    cloud.end();
}

#[test]
fn a_key_that_a_program_cannot_use_is_not_shown() {
    let mut cloud = Cloud::start();
    let pem = cloud.key.private_pem.clone();
    let spoilt = pem.replace("PRIVATE", "MARKED");
    fs::write(cloud.folder.join("spoilt.pem"), &spoilt).unwrap();
    fs::write(cloud.folder.join("half.pem"), &pem[..pem.len() / 2]).unwrap();
    for name in ["iotcore-relay", "gateway"] {
        for key in ["spoilt.pem", "half.pem", "ca.pem", "none.pem"] {
            let mut program = cloud.program(name, "gateway-1", &cloud.path(key));
            let (said, is_good) = cloud.check(&mut program, "");
            assert!(
                !is_good && said.contains("key") || said.contains("cannot be read"),
                "{said}"
            );
        }
        // The key itself in place of the name of its file, which is an easy mistake with a variable.
        let mut program = cloud.program(name, "gateway-1", &pem);
        let (said, is_good) = cloud.check(&mut program, "");
        assert!(
            !is_good && said.contains("must be the name of its file"),
            "{said}"
        );
        let mut help = Command::new(executable(name));
        help.env("IOTCORE_KEY", &pem).arg("--help");
        let (said, is_good) = cloud.check(&mut help, "");
        assert!(is_good && said.contains("IOTCORE_KEY"), "{said}");
        let mut program = cloud.program(name, "gateway-1", &cloud.path("other.pem"));
        let reading = json!({"op": "telemetry", "id": 1, "payload": "21.5"});
        let (said, is_good) = cloud.check(&mut program, &format!("{reading}\n"));
        assert!(!is_good && said.contains("return code"), "{said}");
    }
    cloud.end();
}

#[test]
fn the_emulator_as_a_program_shows_no_key() {
    let mut cloud = Cloud::start();
    let pem = cloud.key.private_pem.clone();
    let registry = |name: &str, key: &str| {
        let path = cloud.path(name);
        let content = json!({
            "project": "plant", "location": "us-central1", "registry": "sensors",
            "devices": [{ "id": "boiler-7", "public_keys": [key] }],
        });
        fs::write(&path, content.to_string()).unwrap();
        path
    };
    let wrong = registry("wrong.json", &pem);
    let sound = registry("sound.json", &cloud.key.public_pem);
    let (ca, key) = (cloud.path("ca.pem"), cloud.path("key.pem"));
    let own = cloud.path("own");
    fs::create_dir_all(&own).unwrap();
    fs::write(cloud.folder.join("own/ca.key"), &pem[..pem.len() / 2]).unwrap();
    fs::copy(&ca, cloud.folder.join("own/ca.pem")).unwrap();
    for arguments in [
        &["--plain", "--registry", &wrong][..],
        &["--plain", &format!("--registry={pem}")],
        &["--plain", "--registry", &pem],
        &["--registry", &sound, "--tls-cert", &pem, "--tls-key", &key],
        &["--registry", &sound, "--tls-cert", &ca, "--tls-key", &pem],
        &["--registry", &sound, "--tls-cert", &key, "--tls-key", &ca],
        &["--registry", &key, "--tls-cert", &ca, "--tls-key", &key],
        &["--registry", &sound, "--tls-self-signed", &own],
        &["--registry", &sound, "--tls-self-signed", &pem],
        &[
            "--registry",
            &sound,
            "--tls-self-signed",
            &own,
            "--tls-name",
            &pem,
        ],
        &["--example-registry", &pem, "--plain"],
    ] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_iotcore-bridge"));
        program.args(["--port", "0"]).args(arguments);
        let (said, is_good) = cloud.check(&mut program, "quit\n");
        assert!(!is_good && said.contains("iotcore-bridge: "), "{said}");
    }
    cloud.end();
}

/// Runs the program until it exits or the time limit, with this text as its standard input.
fn run(program: &mut Command, input: &str) -> Output {
    let program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let id = child.id().to_string();
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    let (ended, output) = mpsc::channel();
    thread::spawn(move || {
        // A program that has exited reads nothing.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        ended.send(child.wait_with_output())
    });
    output.recv_timeout(PATIENCE).map_or_else(
        |_| {
            Command::new("kill")
                .args(["-s", "KILL", &id])
                .status()
                .unwrap();
            panic!("the program was still running after {PATIENCE:?}");
        },
        Result::unwrap,
    )
}
