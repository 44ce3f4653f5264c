//! A server on a loopback port and a thread of its own: TLS by rustls, and as much of MQTT as a gateway needs to be
//! served.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// A certificate authority, made on the spot.
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

    /// The configuration of a server with this host name.
    pub(crate) fn server(
        &self,
        host: &str,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// What a connection brought: the first byte of each packet, and how it ended.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) packets: Vec<u8>,
    pub(crate) end: io::Result<()>,
}

/// Serves one connection to its end; gives the port.
pub(crate) fn serve(config: Arc<ServerConfig>) -> (u16, JoinHandle<Served>) {
    listen(move |stream| {
        let connection = ServerConnection::new(config).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut packets = Vec::new();
        let end = answer(&mut stream, &mut packets);
        Served { packets, end }
    })
}

/// Answers one connection with something that is no TLS.
pub(crate) fn serve_something_else() -> (u16, JoinHandle<()>) {
    listen(|mut stream| {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
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

/// Accepts the connection, acknowledges every PUBLISH and grants every SUBSCRIBE, to the end of the stream.
fn answer(stream: &mut (impl Read + Write), packets: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut first = [0];
        if stream.read(&mut first)? == 0 {
            return Ok(());
        }
        let [first] = first;
        packets.push(first);
        let body = read_body(stream)?;
        match first {
            0x10 => stream.write_all(&[0x20, 2, 0, 0])?,
            0x32 => {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                stream.write_all(&[0x40, 2, body[topic + 2], body[topic + 3]])?;
            }
            0x82 => stream.write_all(&[0x90, 3, body[0], body[1], body[body.len() - 1]])?,
            _ => {}
        }
    }
}

fn read_body(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}
