// What the adapters' first example needs, which includes this, hidden: the emulator on a free port, over TLS, and the folder
// `example` with the files that it has when `iotcore-bridge --example-registry example --tls-self-signed example` makes them.

use std::{env, fs, path::PathBuf, process};

use iotcore_gateway_testkit::{
    AuthMethod, Registry, Settings,
    keys::{DeviceKey, ServerIdentity},
    serve::{Server, tls},
};

pub struct Emulator {
    server: Server,
    folder: PathBuf,
}

/// Starts it, and enters the folder above `example`.
pub fn start() -> Emulator {
    let (gateway, server) = (
        DeviceKey::generate().unwrap(),
        ServerIdentity::generate().unwrap(),
    );
    let mut registry = Registry::new("my-project", "us-central1", "my-registry").unwrap();
    registry
        .add_gateway(
            "my-gateway",
            &[&gateway.public_pem],
            AuthMethod::AssociationOnly,
        )
        .unwrap();
    registry.add_device("boiler-7", &[]).unwrap();
    registry.bind("my-gateway", "boiler-7").unwrap();

    let folder = env::temp_dir().join(format!("iotcore-gateway-doctest-{}", process::id()));
    fs::create_dir_all(folder.join("example")).unwrap();
    fs::write(folder.join("example/gateway.pem"), &gateway.private_pem).unwrap();
    fs::write(folder.join("example/ca.pem"), &server.ca_pem).unwrap();
    env::set_current_dir(&folder).unwrap();

    let config = tls::server_config(&server.certificate_pem, &server.key_pem).unwrap();
    let server = Server::start(
        registry,
        Settings::default(),
        "127.0.0.1:0",
        Some(config),
        |_| {},
    );
    Emulator {
        server: server.unwrap(),
        folder,
    }
}

impl Emulator {
    pub fn port(&self) -> u16 {
        self.server.local_addr().port()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}
