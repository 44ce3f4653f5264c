//! A server on a loopback port and its own thread: TLS with rustls, and the part of MQTT that a gateway needs.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
};

use iotcore_gateway_testkit::packets;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData,
};
use rustls::{
    ConfigBuilder, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion, WantsVerifier,
    crypto::ring::{self, sign::any_supported_type},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{WantsServerCert, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

/// A generated certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(crate) fn pem(&self) -> &[u8] {
        self.pem.as_bytes()
    }

    /// Returns what a certificate for this host name is made of.
    pub(crate) fn params(host: &str) -> CertificateParams {
        CertificateParams::new([host.to_owned()]).unwrap()
    }

    /// Returns the configuration of a server with this host name.
    pub(crate) fn server(
        &self,
        host: &str,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        self.server_with(Self::params(host), version)
    }

    /// Returns the configuration of a server with this certificate.
    pub(crate) fn server_with(
        &self,
        params: CertificateParams,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        Arc::new(self.serve(params, config(version).with_no_client_auth()))
    }

    /// Returns the configuration of a server that demands a client certificate of this authority.
    pub(crate) fn demanding_server(
        &self,
        host: &str,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.pem()).unwrap();
        roots.add(ca).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let config = config(version).with_client_cert_verifier(verifier.build().unwrap());
        Arc::new(self.serve(Self::params(host), config))
    }

    fn serve(
        &self,
        params: CertificateParams,
        config: ConfigBuilder<ServerConfig, WantsServerCert>,
    ) -> ServerConfig {
        let (certificate, key) = self.issue(&params);
        // Without a check, so that it may present what clients refuse.
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let key = any_supported_type(&key).unwrap();
        let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
        config.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
    }

    /// Returns a client's certificate and private key in PEM.
    pub(crate) fn client(&self) -> (String, String) {
        let (certificate, key) = self.issue(&Self::params("gateway-1"));
        (certificate.pem(), key.serialize_pem())
    }

    fn issue(&self, params: &CertificateParams) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (self.certify(params, &key), key)
    }

    pub(crate) fn certify(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Certificate {
        params.signed_by(key, &self.issuer).unwrap()
    }
}

pub(crate) fn config(
    version: &'static SupportedProtocolVersion,
) -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
}

/// What was received on a connection: the first byte of each packet, and the end.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) packets: Vec<u8>,
    pub(crate) end: io::Result<()>,
}

/// Serves one connection until it ends; returns the port.
pub(crate) fn serve(config: Arc<ServerConfig>) -> (u16, JoinHandle<Served>) {
    listen(move |stream| {
        let connection = ServerConnection::new(config).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut packets = Vec::new();
        let end = answer(&mut stream, &mut packets);
        Served { packets, end }
    })
}

/// Accepts one client, and ends its connection with an alert as if its next record were damaged.
pub(crate) fn serve_an_alert(config: Arc<ServerConfig>) -> (u16, JoinHandle<()>) {
    const DAMAGED: &[u8] = &[
        0x17, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    listen(move |stream| {
        let connection = ServerConnection::new(config).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let connect = packets::read(&mut stream).unwrap().unwrap();
        let accepted = packets::parse(&connect).pop().unwrap().answer().unwrap();
        stream.write_all(&accepted).unwrap();
        packets::read(&mut stream).unwrap();
        stream.conn.read_tls(&mut &DAMAGED[..]).unwrap();
        stream.conn.process_new_packets().unwrap_err();
        stream.conn.write_tls(&mut stream.sock).unwrap();
    })
}

/// Answers one connection with something other than TLS.
pub(crate) fn serve_something_else() -> (u16, JoinHandle<()>) {
    listen(|mut stream| {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    })
}

/// Reads the beginning of one connection and closes it.
pub(crate) fn serve_nothing() -> (u16, JoinHandle<()>) {
    listen(|mut stream| {
        stream.read_exact(&mut [0; 64]).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    })
}

fn listen<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (u16, JoinHandle<T>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || serve(listener.accept().unwrap().0));
    (port, serving)
}

/// Accepts every packet, until the end of the stream.
fn answer(stream: &mut (impl Read + Write), firsts: &mut Vec<u8>) -> io::Result<()> {
    while let Some(bytes) = packets::read(stream)? {
        firsts.push(bytes[0]);
        for sent in packets::parse(&bytes) {
            if let Some(answer) = sent.answer() {
                stream.write_all(&answer)?;
            }
        }
    }
    Ok(())
}
