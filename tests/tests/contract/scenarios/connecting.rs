//! Connecting, from the dial to CONNACK.

use iotcore_gateway::{cause::DisconnectReason, driver::error::TransportError};
use iotcore_gateway_testkit::EventKind;

use crate::{
    tls,
    world::{Plan, World, close, count, disconnection},
};

pub(crate) async fn connects_over_tls<W: World>(world: &W, plan: Plan) {
    let (client, running) = world.start(&plan);
    client.connected().await.unwrap();
    assert!(client.is_connected());
    close(client, running).await;
    let connected = |event: &_| matches!(event, EventKind::Connected { gateway: true, .. });
    world.until(|events| count(events, connected) == 1).await;
}

pub(crate) async fn refuses_a_wrong_ca<W: World>(world: &W, mut plan: Plan) {
    plan.security = tls::trusting_another();
    let expected = "which has another key: trust the CA's current certificate";
    refuses(world, &plan, expected).await;
}

pub(crate) async fn refuses_a_wrong_host_name<W: World>(world: &W, plan: Plan) {
    refuses(world, &plan, "its certificate is not for this host").await;
}

async fn refuses<W: World>(world: &W, plan: &Plan, expected: &str) {
    let (client, running) = world.start(plan);
    let (_, error) = disconnection(&mut client.status()).await;
    let error = error.unwrap();
    assert!(matches!(*error, TransportError::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
    close(client, running).await;
    // The bridge has seen only a handshake.
    let failed = |event: &_| matches!(event, EventKind::TransportFailed { .. });
    world.until(|events| count(events, failed) > 0).await;
    let accepted = |event: &_| matches!(event, EventKind::Accepted);
    world.until(|events| count(events, accepted) == 0).await;
}

pub(crate) async fn reports_a_refusal_by_connack<W: World>(world: &W, plan: Plan) {
    world.fault("refuse 1 connack 5");
    let (client, running) = world.start(&plan);
    let (ended, _) = disconnection(&mut client.status()).await;
    match ended.reason {
        DisconnectReason::Refused(refusal) => assert_eq!(refusal.return_code, 5),
        other => panic!("{other:?}"),
    }
    client.connected().await.unwrap();
    close(client, running).await;
}
