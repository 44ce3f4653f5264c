//! The server's side of TLS, in memory.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

/// The layer between a transport and MQTT.
pub(super) enum Layer {
    Plain,
    Tls(Box<ServerConnection>),
}

impl Layer {
    pub(super) fn new(config: Option<&Arc<ServerConfig>>) -> Self {
        match config {
            None => Self::Plain,
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config));
                Self::Tls(Box::new(connection.expect("a configuration that works")))
            }
        }
    }

    /// Returns whether the handshake is in progress, so that no MQTT data can arrive yet.
    pub(super) fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(tls) => tls.is_handshaking(),
        }
    }

    /// Decrypts what the client sent. Answers of TLS itself are among the next [`records`](Self::records).
    ///
    /// # Errors
    /// It was not TLS, or the client aborted.
    pub(super) fn open(&mut self, mut raw: &[u8]) -> Result<Vec<u8>, String> {
        let Self::Tls(tls) = self else {
            return Ok(raw.to_vec());
        };
        let mut plain = Vec::new();
        while !raw.is_empty() && tls.wants_read() {
            tls.read_tls(&mut raw).map_err(|error| error.to_string())?;
            let state = tls
                .process_new_packets()
                .map_err(|error| error.to_string())?;
            let mut fresh = vec![0; state.plaintext_bytes_to_read()];
            let read = tls.reader().read_exact(&mut fresh);
            read.map_err(|error| error.to_string())?;
            plain.append(&mut fresh);
        }
        Ok(plain)
    }

    /// Encrypts data for the client: at most 16 KiB at a time.
    pub(super) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let Self::Tls(tls) = self else {
            return plain.to_vec();
        };
        tls.writer()
            .write_all(plain)
            .expect("far below the limit of the writer's buffer");
        self.records()
    }

    /// Returns the bytes to write at the end.
    pub(super) fn close(&mut self) -> Vec<u8> {
        if let Self::Tls(tls) = self {
            tls.send_close_notify();
        }
        self.records()
    }

    /// Returns the pending records of TLS itself.
    pub(super) fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        if let Self::Tls(tls) = self {
            while tls.wants_write() {
                tls.write_tls(&mut records)
                    .expect("writing to memory does not fail");
            }
        }
        records
    }
}
