//! The cloud's side: the emulator, or a minimal MQTT peer.

use std::{
    fs::{self, File},
    io::{self, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use iotcore_gateway_testkit::{
    AuthMethod, Bridge, OperatorError, Registry, Settings,
    bridge::event::{Event, EventKind},
    keys::{DeviceKey, ServerIdentity},
    packets::{self, Sent},
    serve::{Server, tls},
};
use iotcore_gateway_tokio::{
    Algorithm,
    auth::{SigningKey, UnixTime},
};
use rustls::ServerConfig;

/// A fleet: `gateway-1`, to which `boiler-7` and `pump-1` are bound; `stranger-1`, which is not; and `gateway-2`, whose
/// devices need tokens.
pub(crate) struct Cloud {
    pub(crate) server: Server,
    pub(crate) folder: PathBuf,
    /// The key of `boiler-7`.
    pub(crate) device_key: DeviceKey,
    /// Receives one item per telemetry event that the bridge accepts.
    pub(crate) arrivals: mpsc::Receiver<()>,
    is_plain: bool,
}

/// Creates a folder for the files of one test.
pub(crate) fn folder() -> PathBuf {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("relay-{}-{number}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes the gateway's key, in place of the one before, to a file that only its owner may read.
pub(crate) fn write_key(folder: &Path, pem: &str) {
    let new = folder.join("gateway.pem.new");
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new).unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    fs::rename(new, folder.join("gateway.pem")).unwrap();
}

/// Returns the options for a peer at this host and port.
pub(crate) fn options(folder: &Path, host: &str, port: u16) -> Vec<String> {
    let key = folder.join("gateway.pem");
    [
        ("host", host),
        ("port", &port.to_string()),
        ("project", "plant"),
        ("location", "us-central1"),
        ("registry", "sensors"),
        ("gateway", "gateway-1"),
        ("key", key.to_str().unwrap()),
        ("algorithm", "ES256"),
    ]
    .into_iter()
    .flat_map(|(name, value)| [format!("--{name}"), value.to_owned()])
    .collect()
}

impl Cloud {
    pub(crate) fn plain() -> Self {
        Self::start(None)
    }

    pub(crate) fn tls() -> Self {
        Self::tls_with(|identity| {
            tls::server_config(&identity.certificate_pem, &identity.key_pem).unwrap()
        })
    }

    /// Runs with this TLS configuration, made of the server's certificate.
    pub(crate) fn tls_with(config: impl FnOnce(&ServerIdentity) -> Arc<ServerConfig>) -> Self {
        let identity = ServerIdentity::generate().unwrap();
        Self::start(Some((identity.ca_pem.clone(), config(&identity))))
    }

    fn start(secure: Option<(String, Arc<ServerConfig>)>) -> Self {
        let (key, device_key) = (
            DeviceKey::generate().unwrap(),
            DeviceKey::generate().unwrap(),
        );
        let folder = folder();
        write_key(&folder, &key.private_pem);
        let keys = [key.public_pem.as_str()];
        let mut registry = Registry::new("plant", "us-central1", "sensors").unwrap();
        registry
            .add_gateway("gateway-1", &keys, AuthMethod::AssociationOnly)
            .unwrap();
        registry
            .add_gateway("gateway-2", &keys, AuthMethod::DeviceAuthTokenOnly)
            .unwrap();
        let device_keys = [device_key.public_pem.as_str()];
        registry.add_device("boiler-7", &device_keys).unwrap();
        registry.add_device("pump-1", &[]).unwrap();
        registry.add_device("stranger-1", &keys).unwrap();
        registry.bind("gateway-1", "boiler-7").unwrap();
        registry.bind("gateway-1", "pump-1").unwrap();
        let is_plain = secure.is_none();
        let config = secure.map(|(ca_pem, config)| {
            fs::write(folder.join("ca.pem"), ca_pem).unwrap();
            config
        });
        let (arrived, arrivals) = mpsc::channel();
        let server = Server::start(
            registry,
            Settings::default(),
            "127.0.0.1:0",
            config,
            move |event: &Event| {
                if matches!(event.kind, EventKind::Telemetry { .. }) {
                    // The receiver may have been dropped.
                    let _ = arrived.send(());
                }
            },
        );
        Self {
            server: server.unwrap(),
            folder,
            device_key,
            arrivals,
            is_plain,
        }
    }

    /// Returns the options of a relay as `gateway-1`, with additional ones.
    pub(crate) fn options(&self, more: &[&str]) -> Vec<String> {
        let port = self.server.local_addr().port();
        let mut options = options(&self.folder, "127.0.0.1", port);
        if self.is_plain {
            options.push("--plain".to_owned());
        } else {
            let ca = self.folder.join("ca.pem");
            options.extend(["--ca".to_owned(), ca.to_str().unwrap().to_owned()]);
        }
        options.extend(more.iter().map(|&option| option.to_owned()));
        options
    }

    /// Returns the same as `gateway-2`.
    pub(crate) fn options_of_gateway_2(&self, more: &[&str]) -> Vec<String> {
        let mut options = self.options(more);
        for option in &mut options {
            if option == "gateway-1" {
                *option = "gateway-2".to_owned();
            }
        }
        options
    }

    /// Mints a token of `boiler-7` that expires after this number of seconds.
    pub(crate) fn device_token(&self, seconds: u64) -> String {
        self.token_minted_at(UnixTime::try_from(SystemTime::now()).unwrap(), seconds)
    }

    /// Mints a token of `boiler-7` as if it were this time; it lives for this number of seconds.
    pub(crate) fn token_minted_at(&self, time: UnixTime, seconds: u64) -> String {
        let pem = self.device_key.private_pem.as_bytes();
        let key = SigningKey::from_pem(pem, Algorithm::Es256).unwrap();
        let life = Duration::from_secs(seconds);
        key.mint(&"plant".parse().unwrap(), time, life).unwrap()
    }

    pub(crate) fn config(&self, device: &str, payload: &'static [u8]) {
        self.act(|bridge, now| bridge.send_config(device, payload, now).map(drop));
    }

    pub(crate) fn command(&self, device: &str, subfolder: Option<&str>, payload: &'static str) {
        self.act(|bridge, now| bridge.send_command(device, subfolder, payload, now));
    }

    pub(crate) fn cut(&self, client: &str) {
        self.act(|bridge, now| bridge.drop_connection(client, now));
    }

    pub(crate) fn inject(&self, fault: &str) {
        self.act(|bridge, now| bridge.inject(fault.parse().unwrap(), now));
    }

    pub(crate) fn act(
        &self,
        act: impl FnOnce(&mut Bridge, std::time::Instant) -> Result<(), OperatorError>,
    ) {
        self.server.with(act).unwrap();
    }

    pub(crate) fn telemetry(&self, device: &str) -> Vec<Vec<u8>> {
        self.server.with(|bridge, _| {
            let record = bridge.device(device).unwrap();
            record.telemetry().map(|t| t.payload.to_vec()).collect()
        })
    }

    /// Returns the version of the config that the device has acknowledged.
    pub(crate) fn acknowledged(&self, device: &str) -> Option<u64> {
        self.server
            .with(|bridge, _| bridge.device(device).unwrap().config_acknowledged())
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port on which nothing listens: reserved and unused. A port that was free a moment ago may be used by another test
/// now.
pub(crate) const CLOSED_PORT: u16 = 1;

/// Returns the options of a relay that cannot connect.
pub(crate) fn offline(cloud: &Cloud, more: &[&str]) -> Vec<String> {
    let mut options = options(&cloud.folder, "127.0.0.1", CLOSED_PORT);
    options.push("--plain".to_owned());
    options.extend(more.iter().map(|&option| option.to_owned()));
    options
}

/// Accepts connections and acknowledges every packet; a PUBLISH once `publish` has returned.
pub(crate) fn serve(publish: impl Fn(&Sent) + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = answer(&mut stream.unwrap(), &publish);
        }
    });
    port
}

fn answer(stream: &mut TcpStream, publish: &impl Fn(&Sent)) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(sent) = receive(stream)? {
        if matches!(sent, Sent::Publish { .. }) {
            publish(&sent);
        }
        reply(&sent, stream)?;
    }
    Ok(())
}

/// Reads the next packet of the relay; `None` once it has disconnected.
pub(crate) fn receive(stream: &mut TcpStream) -> io::Result<Option<Sent>> {
    let bytes = packets::read(stream)?.unwrap_or_default();
    let sent = packets::parse(&bytes).pop();
    Ok(sent.filter(|sent| *sent != Sent::Disconnect))
}

/// Acknowledges a packet.
pub(crate) fn reply(sent: &Sent, stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&sent.answer().unwrap_or_default())
}
