//! An adapter behind Debian's proxies, at the bridge emulator over TLS. `.ci/proxies` installs them; without, these tests
//! are skipped.

mod proxy_program;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use iotcore_gateway_testkit::AuthMethod;

use self::proxy_program::{
    Kind::{
        self, Dante, DanteWithRules, Microsocks, MicrosocksWithPassword, Tinyproxy,
        TinyproxyWithPassword, TinyproxyWithRules,
    },
    ProxyProgram, USER_INFO,
};
use crate::{
    bridge::{Bridge, bridge},
    runtime::{
        adapter::{
            Client, DeviceId, Options, Status, StatusChanges,
            closed::Closed,
            connect,
            error::TransportError,
            options::Reconnect,
            proxy::{Proxy, ProxyError},
        },
        run, spawn,
    },
};

/// A port on which nothing listens: reserved and unused.
const CLOSED_PORT: u16 = 1;

/// Starts a gateway that connects through this proxy, and soon again.
fn start(
    bridge: &Bridge,
    port: u16,
    proxy: &str,
) -> (Client, StatusChanges, impl Future<Output = Closed> + use<>) {
    let mut options = Options::default();
    options.backoff.min = Duration::from_millis(10);
    options.backoff.max = Duration::from_millis(100);
    // Some twenty seconds: a test fails rather than waits for ever.
    options.reconnect = Reconnect::Attempts(200);
    let setup = bridge.setup(bridge.tokens(), options);
    let proxy: Proxy = proxy.parse().unwrap();
    let (client, driver) = connect(setup.port(port).proxy(proxy)).unwrap();
    // Created before anything can fail.
    let status = client.status();
    (client, status, spawn(driver.run()))
}

/// Returns the error of the next connection or attempt that ends.
async fn next_error(status: &mut StatusChanges) -> Arc<TransportError> {
    loop {
        match status.next().await {
            Some(Status::Disconnected {
                error: Some(error), ..
            }) => return error,
            Some(_) => {}
            None => panic!("the driver ended"),
        }
    }
}

/// Asserts that a gateway behind this proxy is told of a failure with these words.
async fn fails(kind: Kind, user_info: &str, port: Option<u16>, words: &str) {
    let Some(program) = ProxyProgram::start(kind) else {
        return;
    };
    fails_through(&program.url(user_info), port, words).await;
}

async fn fails_through(proxy: &str, port: Option<u16>, words: &str) {
    let bridge = bridge(AuthMethod::AssociationOnly);
    let port = port.unwrap_or(bridge.server.local_addr().port());
    let (client, mut status, driver) = start(&bridge, port, proxy);
    let error = next_error(&mut status).await;
    assert!(matches!(*error, TransportError::Proxy { .. }), "{error:?}");
    let shown = error.to_string();
    assert!(shown.contains(words), "{proxy}: {shown}");
    assert!(
        !shown.contains("wrong") && !shown.contains("plant"),
        "{shown}"
    );
    client.close().await;
    driver.await;
}

#[test]
fn a_gateway_publishes_through_each_proxy_and_again_after_the_tunnel_was_cut() {
    run(async || {
        for (kind, user_info) in [
            (Tinyproxy, ""),
            (TinyproxyWithPassword, USER_INFO),
            (Microsocks, ""),
            (Microsocks, USER_INFO),
            (MicrosocksWithPassword, USER_INFO),
            (Dante, ""),
        ] {
            if let Some(program) = ProxyProgram::start(kind) {
                publishes_and_reconnects(program, user_info).await;
            }
        }
    });
}

async fn publishes_and_reconnects(mut program: ProxyProgram, user_info: &str) {
    let bridge = bridge(AuthMethod::AssociationOnly);
    let port = bridge.server.local_addr().port();
    let (client, mut status, driver) = start(&bridge, port, &program.url(user_info));
    let bound: DeviceId = "bound".parse().unwrap();
    let bound = client.attach(bound).await.unwrap();
    bound.telemetry("before").await.unwrap().await.unwrap();
    program.end();
    // First the connection, then an attempt.
    let _lost = next_error(&mut status).await;
    let delivery = bound.telemetry("after").await.unwrap();
    loop {
        match &*next_error(&mut status).await {
            TransportError::Proxy {
                source: ProxyError::Dial(_),
                ..
            } => break,
            TransportError::Proxy { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    program.resume();
    let resumed = Instant::now();
    delivery.await.unwrap();
    assert!(
        resumed.elapsed() < Duration::from_secs(5),
        "{:?}",
        resumed.elapsed()
    );
    assert!(client.close().await.unsent.is_empty());
    driver.await;
    let taken = bridge.taken.lock().unwrap();
    assert_eq!(taken["bound"], ["before", "after"]);
}

#[test]
fn a_wrong_or_missing_password_is_told() {
    run(async || {
        let refused = "it refused the user name or the password";
        let required = "it requires authentication: give a user name and a password";
        for kind in [TinyproxyWithPassword, MicrosocksWithPassword] {
            fails(kind, "plant:wrong@", None, refused).await;
            fails(kind, "", None, required).await;
        }
    });
}

#[test]
fn a_bridge_that_a_proxy_cannot_reach_or_must_not_is_told() {
    run(async || {
        let unreachable = "it could not reach the host";
        fails(Tinyproxy, "", Some(CLOSED_PORT), unreachable).await;
        let refused = "the host refused its connection";
        fails(Microsocks, "", Some(CLOSED_PORT), refused).await;
        fails(Dante, "", Some(CLOSED_PORT), refused).await;
        let forbidden = "it does not allow this host or port";
        fails(TinyproxyWithRules, "", None, forbidden).await;
        fails(DanteWithRules, "", None, "its rules do not allow").await;
    });
}

#[test]
fn a_server_that_is_no_proxy_of_this_kind_is_told() {
    run(async || {
        let Some(program) = ProxyProgram::start(Microsocks) else {
            return;
        };
        let as_http = program.url("").replace("socks5", "http");
        fails_through(&as_http, None, "its answer is not HTTP").await;
        // The bridge itself, over TLS, has never heard of either protocol.
        let tls = bridge(AuthMethod::AssociationOnly);
        let address = tls.server.local_addr();
        fails_through(&format!("http://{address}"), None, "its answer is not HTTP").await;
        fails_through(
            &format!("socks5://{address}"),
            None,
            "its answer is not SOCKS5",
        )
        .await;
    });
}
