//! One list of scenarios, run on every runtime: on real runtimes over sockets, through a proxy that injects network
//! faults, and on the simulated runtime over its virtual network. A scenario uses only [`World`], so it cannot
//! distinguish them. Some scenarios also run with the core's example without a runtime, a separate program
//! ([`one_thread`]).
#![forbid(unsafe_code)]

mod dated;
mod one_thread;
mod others;
#[path = "../programs/mod.rs"]
mod programs;
mod proxy;
mod registry;
mod runtime_check;
mod scenarios;
mod simulated;
mod sockets;
mod table;
mod tls;
mod tokens;
mod world;

use iotcore_gateway_smol::SmolRuntime;
use iotcore_gateway_tokio::TokioRuntime;

use self::{
    simulated::Simulated,
    sockets::{Sockets, executor},
    world::{
        Secured::{For, Plain},
        World,
    },
};

executor!(
    Tokio,
    TokioRuntime,
    |main| tokio::runtime::Runtime::new().unwrap().block_on(main),
    |task| drop(tokio::spawn(task))
);

executor!(Smol, SmolRuntime, |main| smol::block_on(main), |task| {
    smol::spawn(task).detach();
});

/// Defines a test of the program for each marked scenario, and a macro that defines a test of each scenario in each
/// world. Its first argument is a `$` for that macro.
macro_rules! scenarios {
    ($d:tt $($module:ident::$scenario:ident, $secured:expr $(, $program:ident)?;)+) => {
        const SCENARIOS: &[&str] = &[$(stringify!($scenario)),+];

        /// The program's column, once for each scenario that it runs.
        const PROGRAM: &[&str] = &[$($(stringify!($program),)?)+];

        mod on_one_thread {
            use super::{one_thread, table};

            $($(#[test]
            fn $scenario() {
                crate::programs::executable("blocking");
                table::note(stringify!($scenario), stringify!($program), one_thread::$scenario);
            })?)+
        }

        macro_rules! worlds {
            ($d($d world:ident: $d type:ty;)+) => {
                const WORLDS: &[&str] = &[$d(stringify!($d world)),+];

                $d(mod $d world {
                    use super::*;

                    $(#[test]
                    fn $scenario() {
                        let play = || <$d type>::play($secured, scenarios::$module::$scenario);
                        table::note(stringify!($scenario), stringify!($d world), play);
                    })+
                })+
            };
        }
    };
}

scenarios! { $
    connecting::connects_over_tls, For("localhost"), on_one_thread;
    connecting::refuses_a_wrong_ca, For("localhost"), on_one_thread;
    connecting::refuses_a_wrong_host_name, For("elsewhere.example"), on_one_thread;
    connecting::reports_a_refusal_by_connack, For("localhost"), on_one_thread;
    addresses::connects_past_an_address_that_does_not_answer, For("localhost");
    addresses::connects_past_an_address_that_refuses, For("localhost");
    addresses::connects_past_an_address_that_stalls_tls, For("localhost");
    addresses::says_what_each_address_did, For("localhost");
    devices::attaches_a_device, For("localhost"), on_one_thread;
    devices::reports_a_refused_attach, Plain, on_one_thread;
    devices::reports_an_attach_that_is_not_answered, Plain;
    devices::attaches_a_thousand_devices, Plain;
    messages::publishes_and_is_acknowledged, For("localhost"), on_one_thread;
    messages::streams_configs_and_commands, For("localhost");
    messages::acknowledges_no_faster_than_a_slow_consumer_reads, Plain;
    messages::stops_no_device_for_messages_that_nobody_reads, Plain;
    messages::carries_256_kilobytes_in_both_directions, For("localhost");
    messages::works_with_one_byte_per_segment_in_both_directions, For("localhost"), on_one_thread;
    outages::reconnects_when_the_peer_closes_in_the_middle_of_a_packet, Plain, on_one_thread;
    outages::detects_a_half_open_peer_by_keep_alive, Plain;
    outages::gives_up_on_stalled_writes, Plain;
    outages::is_rarely_polled_while_the_peer_stalls, Plain;
    outages::loses_nothing_over_reconnects, Plain, on_one_thread;
    outages::refreshes_its_token, Plain;
    given_up::cancels_what_is_in_flight_and_what_waits_in_an_outage, For("localhost");
    given_up::sends_nothing_that_expires_in_an_outage, For("localhost");
    given_up::sends_an_alarm_before_what_waits, For("localhost");
    given_up::shows_its_devices_and_how_soon_the_bridge_answers, For("localhost");
    isolation::serves_the_others_beside_bad_devices, Plain;
    isolation::gives_up_a_message_at_which_the_bridge_hangs_up, Plain;
    isolation::delivers_what_was_queued_before_the_box_slept, Plain;
    endings::closes_after_a_drain, Plain, on_one_thread;
    endings::reports_what_a_drain_could_not_send, Plain;
    endings::hangs_up_and_loses_nothing, For("localhost");
    endings::ends_every_future_when_the_driver_is_dropped, Plain;
    endings::closes_when_every_handle_is_dropped, Plain;
}

worlds! {
    on_tokio: Sockets<Tokio>;
    on_smol: Sockets<Smol>;
    in_simulation: Simulated;
}
