//! Accepts connections, and refuses those for which the options or the system have no room.

use core::time::Duration;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::{ServerOptions, Shared, connection};

/// The pause after two failures in a row, so that a lasting one causes no busy loop.
const PAUSE: Duration = Duration::from_millis(100);

/// The minimum time between two reports of refused connections.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The refused connections that are not reported yet.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: u64,
    /// The last one, and the reason.
    last: String,
    reported: Option<Instant>,
}

/// Accepts connections until the server stops, then waits for them to end.
pub(super) fn run(shared: &Arc<Shared>, listener: TcpListener, options: &ServerOptions) {
    let threads = accept(shared, &listener, options);
    drop(listener);
    shared.lock().is_listening = false;
    shared.changed.notify_all();
    for thread in threads {
        // A panic there has already been printed and does not cause another one here.
        let _ = thread.join();
    }
}

fn accept(
    shared: &Arc<Shared>,
    listener: &TcpListener,
    options: &ServerOptions,
) -> Vec<JoinHandle<()>> {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    // A file descriptor that is given up once there are no more, to accept the next connection and so refuse it.
    let mut spare = listener.try_clone().ok();
    loop {
        let accepted = listener.accept();
        threads.retain(|thread| !thread.is_finished());
        if shared.lock().is_stopping {
            return threads;
        }
        match accepted {
            Ok((stream, peer)) => {
                spare = spare.or_else(|| listener.try_clone().ok());
                let admitted = match spare {
                    Some(_) if threads.len() < options.max_connections => {
                        admit(shared, stream, peer, options)
                    }
                    Some(_) => Err(format!(
                        "{} connections are open, the maximum (max_connections)",
                        threads.len()
                    )),
                    None => Err("no file descriptors are left (see ulimit -n)".to_owned()),
                };
                match admitted {
                    Ok(thread) => threads.push(thread),
                    Err(reason) => shared.refuse(format!("{peer}: {reason}")),
                }
            }
            Err(_) if spare.take().is_some() => {}
            Err(error) => {
                shared.refuse(format!("all clients: cannot accept connections: {error}"));
                drop(shared.wait_while_for(PAUSE, |state| !state.is_stopping));
            }
        }
    }
}

/// Starts to serve a connection.
///
/// # Errors
/// The system does not have two threads for it.
fn admit(
    shared: &Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    options: &ServerOptions,
) -> Result<JoinHandle<()>, String> {
    let stream = Arc::new(stream);
    let (server, socket, options) = (Arc::clone(shared), Arc::clone(&stream), options.clone());
    let (sender, started) = mpsc::channel();
    // Before the threads, which remove it.
    shared.lock().sockets.insert(peer, stream);
    let run = move || connection::run(&server, &socket, peer, &options, &sender);
    let thread = thread::Builder::new().spawn(run).and_then(|thread| {
        // Not two connections at once, of which each would find room for only one thread.
        match started.recv() {
            Ok(started) => started.map(|()| thread),
            Err(_) => Ok(thread),
        }
    });
    thread.map_err(|error| {
        shared.lock().sockets.remove(&peer);
        format!("no thread is left for it ({error}; see ulimit -u and -v)")
    })
}

impl Refusals {
    /// Adds a refused connection: the client, and the reason.
    pub(super) fn add(&mut self, connection: String) {
        self.count += 1;
        self.last = connection;
    }

    /// Returns when the next report is due, if there is anything to report.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let reported = self.reported.filter(|_| self.count > 0)?;
        Some(reported + REPORT_INTERVAL)
    }

    /// Returns a report, if it is due.
    pub(super) fn poll_report(&mut self, now: Instant) -> Option<String> {
        let is_due = self.poll_timeout().is_none_or(|due| due <= now);
        if self.count == 0 || !is_due {
            return None;
        }
        self.reported = Some(now);
        let last = core::mem::take(&mut self.last);
        Some(match core::mem::take(&mut self.count) {
            1 => format!("refused {last}"),
            count => format!("refused {count} connections, the last from {last}"),
        })
    }
}
