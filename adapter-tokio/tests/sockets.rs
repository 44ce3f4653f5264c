//! The driver on Tokio, over real sockets on loopback: the tests for every adapter, on both flavors of the runtime.
#![forbid(unsafe_code)]

#[cfg(feature = "jwt")]
#[path = "../../tests/adapters/bridge.rs"]
mod bridge;
#[cfg(all(feature = "jwt", target_os = "linux"))]
#[path = "../../tests/adapters/proxies.rs"]
mod proxies;
#[cfg(all(feature = "jwt", target_os = "linux"))]
#[path = "../../tests/adapters/store.rs"]
mod store;
#[path = "../../tests/adapters/tls.rs"]
mod tls;
#[cfg(target_os = "linux")]
#[path = "../../tests/adapters/unsent.rs"]
mod unsent;

use std::{
    io::Read,
    net::TcpListener,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use iotcore_gateway_tokio::{Security, Status, cause::DisconnectReason};
use tokio::{runtime::Builder, task::spawn_blocking};

mod runtime {
    pub(crate) use iotcore_gateway_tokio as adapter;
    use tokio::runtime::Builder;
    pub(crate) use tokio::task::yield_now;

    pub(crate) fn run(test: impl AsyncFn()) {
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(test());
        }
    }

    pub(crate) fn spawn<T: Send + 'static>(
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        let task = tokio::spawn(future);
        async { task.await.unwrap() }
    }
}

#[test]
fn handles_work_on_a_thread_without_a_runtime() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (client, _driver) = {
        let _entered = runtime.enter();
        tls::start("127.0.0.1", 9, Security::PlainOnLoopback)
    };
    let _delivery = client.gateway().try_telemetry("unsent").unwrap();
    // It needs a timer, because nobody runs the driver.
    let mut closing = pin!(client.close());
    let mut context = Context::from_waker(Waker::noop());
    assert!(closing.as_mut().poll(&mut context).is_pending());
}

#[tokio::test(start_paused = true)]
async fn timers_follow_a_paused_clock() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (client, _driver) = tls::start("127.0.0.1", port, Security::PlainOnLoopback);
    let mut status = client.status();
    let begun = tokio::time::Instant::now();
    // The clock does not advance while a blocking task runs. Otherwise it might advance to the dial's deadline while the
    // kernel is still connecting.
    let connected = spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    });
    // CONNACK is never sent.
    let _stream = connected.await.unwrap();
    match status.next().await {
        Some(Status::Disconnected { ended, .. }) => assert_eq!(
            ended.reason,
            DisconnectReason::ConnAckTimedOut(Duration::from_secs(20))
        ),
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() >= Duration::from_secs(20));
}
