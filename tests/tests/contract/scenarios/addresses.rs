//! Hosts with several addresses.

use std::time::Duration;

use iotcore_gateway::driver::{
    Client,
    error::{DialFailure, TransportError},
};

use crate::world::{At, Plan, World, close, disconnection, in_time};

const SECOND: Duration = Duration::from_secs(1);

/// What a busy machine needs for a connection.
const SOON: Duration = Duration::from_secs(5);

pub(crate) async fn connects_past_an_address_that_does_not_answer<W: World>(world: &W, plan: Plan) {
    connects_at_the_first_attempt(world, plan, At::Nothing).await;
}

pub(crate) async fn connects_past_an_address_that_refuses<W: World>(world: &W, plan: Plan) {
    connects_at_the_first_attempt(world, plan, At::Refusing).await;
}

async fn connects_within<W: World>(world: &W, limit: Duration, client: &Client) {
    let connected = in_time(&world.runtime(), limit, client.connected()).await;
    connected.unwrap();
}

/// Connects to a host whose second address is the bridge's, twice.
async fn connects_at_the_first_attempt<W: World>(world: &W, plan: Plan, first: At) {
    world.resolve_to(&[first, At::Bridge]);
    let (client, running) = world.start(&plan);
    let mut status = client.status();
    connects_within(world, SOON, &client).await;
    world.cut();
    let (ended, _) = disconnection(&mut status).await;
    assert!(ended.retry_in.is_some());
    connects_within(world, SOON, &client).await;
    // Nothing else has ended.
    assert_eq!(client.stats().connections, 2);
    close(client, running).await;
}

pub(crate) async fn connects_past_an_address_that_stalls_tls<W: World>(world: &W, mut plan: Plan) {
    plan.dial_timeout = 3 * SECOND;
    world.resolve_to(&[At::Silent, At::Bridge]);
    let (client, running) = world.start(&plan);
    let mut status = client.status();
    let (_, error) = in_time(&world.runtime(), 2 * SOON, disconnection(&mut status)).await;
    let error = error.unwrap();
    assert!(matches!(*error, TransportError::Tls { .. }), "{error:?}");
    // It goes last from now on.
    for _ in 0..3 {
        connects_within(world, 2 * SECOND, &client).await;
        world.cut();
        disconnection(&mut status).await;
    }
    close(client, running).await;
}

pub(crate) async fn says_what_each_address_did<W: World>(world: &W, mut plan: Plan) {
    plan.dial_timeout = SECOND;
    world.resolve_to(&[At::Nothing, At::Refusing]);
    let (client, running) = world.start(&plan);
    let (_, error) = in_time(&world.runtime(), SOON, disconnection(&mut client.status())).await;
    let error = error.unwrap();
    let TransportError::Dial {
        source: DialFailure::Unreachable(tried),
        ..
    } = &*error
    else {
        panic!("{error:?}");
    };
    let [(_, refused), (_, unanswered)] = &tried[..] else {
        panic!("{tried:?}");
    };
    assert_eq!(unanswered.to_string(), "no answer within 1s");
    let shown = error.to_string();
    for part in [refused.to_string(), unanswered.to_string()] {
        assert!(shown.contains(&part), "{part:?} is not in {shown}");
    }
    for (address, _) in tried {
        assert!(
            shown.contains(&address.to_string()),
            "{address} is not in {shown}"
        );
    }
    close(client, running).await;
}
