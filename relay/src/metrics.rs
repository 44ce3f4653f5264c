//! The metrics for Prometheus (`--metrics`).

mod http;
mod text;

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use iotcore_gateway_tokio::Client;
use tokio::net::TcpListener;

use self::text::Snapshot;
use crate::vitals::Vitals;

/// Serves the metrics over HTTP from now on, as long as the runtime runs; returns the address in use.
///
/// # Errors
///
/// Fails if the address cannot be listened on.
pub(crate) async fn serve(
    address: SocketAddr,
    client: Client,
    vitals: Arc<Vitals>,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let page = move || {
        let now = Instant::now();
        let snapshot = Snapshot {
            stats: client.peek_stats(),
            is_connected: client.is_connected(),
            devices: client.devices(),
            open: vitals.open(),
            output_wait: vitals.output_wait(now),
            now,
        };
        snapshot.text()
    };
    tokio::spawn(http::serve(listener, page));
    Ok(address)
}
