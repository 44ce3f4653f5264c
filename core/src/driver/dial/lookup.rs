//! The lookup of the host's addresses.

use core::{future::poll_fn, mem, net::SocketAddr};
use std::{io, sync::Arc};

use crate::driver::runtime::{BoxFuture, Runtime};

/// The lookups of one host. There is at most one at a time, because one that hangs occupies a thread of the resolver: an
/// attempt that times out leaves its lookup, and the next attempt joins it.
#[derive(Default)]
pub(crate) struct Lookup {
    pending: Option<BoxFuture<io::Result<Vec<SocketAddr>>>>,
}

impl Lookup {
    /// Resolves the host anew, or joins the lookup that still hangs.
    pub(crate) async fn resolve<R: Runtime>(
        &mut self,
        runtime: &Arc<R>,
        host: &str,
        port: u16,
    ) -> io::Result<Vec<SocketAddr>> {
        // An answer that came while nobody waited for it may be outdated.
        let mut may_be_outdated = self.pending.is_some();
        poll_fn(|cx| {
            loop {
                let pending = self
                    .pending
                    .get_or_insert_with(|| begin(Arc::clone(runtime), host, port));
                let polled = pending.as_mut().poll(cx);
                if polled.is_ready() {
                    self.pending = None;
                }
                if !mem::take(&mut may_be_outdated) || polled.is_pending() {
                    return polled;
                }
            }
        })
        .await
    }
}

fn begin<R: Runtime>(
    runtime: Arc<R>,
    host: &str,
    port: u16,
) -> BoxFuture<io::Result<Vec<SocketAddr>>> {
    let host = host.to_owned();
    Box::pin(async move { runtime.resolve(&host, port).await })
}
