//! A connection on which the packet identifiers wrap around, in both directions: of 65,535 identifiers some are in
//! flight all the time, some wait for late acknowledgements, and the model checks every packet.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;
use std::time::Duration;

use iotcore_gateway::message::{QoS, Subscription};
use iotcore_gateway_testkit::bridge::faults::{AnswerKind, FaultKind, Treatment};
use iotcore_gateway_testkit::script::{
    self, CloudOperation, Command, History, NetworkFault, Script, Setup, Step, Terms, Tokens,
};

const LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// The number of messages in transit at once.
const AT_ONCE: usize = 50;

/// The number of rounds that use every identifier once, and some of them again.
const ROUNDS: usize = 65_535 / AT_ONCE + 60;

fn attach(device: usize) -> Step {
    Step::User(Command::Attach {
        tokens: Tokens::Fixed,
        device,
        lifetime: LIFETIME,
    })
}

fn telemetry(device: usize) -> Step {
    Step::User(Command::Telemetry {
        device,
        qos: QoS::AtLeastOnce,
        size: 8,
        terms: Terms::default(),
    })
}

/// Holds the next PUBACKs.
fn hold(count: u32) -> Step {
    let count = NonZeroU32::new(count);
    Step::Fault(FaultKind::Answer {
        answer: AnswerKind::Puback,
        treatment: Treatment::Hold { count },
    })
}

/// Opens a gateway, attaches its devices, and runs `rounds` on a network without latency.
fn play(opening: Vec<Step>, mut round: impl FnMut(usize, &mut Vec<Step>)) -> History {
    let mut steps = vec![
        Step::Network(NetworkFault::Latency(Duration::ZERO)),
        Step::User(Command::Open),
        attach(1),
        attach(2),
        Step::Wait(Duration::from_secs(1)),
    ];
    steps.extend(opening);
    for number in 0..ROUNDS {
        round(number, &mut steps);
        steps.push(Step::Wait(Duration::from_millis(1)));
    }
    let setup = Setup::default();
    match script::run(&Script { setup, steps }) {
        Ok(history) => history,
        Err(broken) => panic!("{broken}"),
    }
}

#[test]
fn outbound_identifiers_wrap_around_and_skip_those_that_are_unacknowledged() {
    // The attach times out after 30 s, and its identifier waits for an acknowledgement that arrives at the end.
    let given_up = vec![hold(1), attach(3), Step::Wait(Duration::from_secs(31))];
    let history = play(given_up, |round, steps| {
        match round % 200 {
            1 => steps.push(hold(3)),
            2 => steps.push(Step::User(Command::Subscribe {
                device: 1,
                subscription: Subscription::Commands,
                qos: QoS::AtLeastOnce,
            })),
            3 => steps.push(Step::User(Command::Unsubscribe {
                device: 1,
                subscription: Subscription::Commands,
            })),
            _ => {}
        }
        steps.extend((0..AT_ONCE).map(|n| telemetry(1 + n % 2)));
        if round + 1 == ROUNDS {
            steps.push(Step::Fault(FaultKind::Release {
                answer: AnswerKind::Puback,
            }));
        }
    });
    let counts = history.counts();
    assert_eq!(counts.connections, 1);
    assert_eq!(counts.publications, (ROUNDS * AT_ONCE) as u64);
    assert_eq!(counts.arrivals, counts.publications);
}

#[test]
fn inbound_identifiers_wrap_around() {
    let subscribe = vec![
        Step::User(Command::Subscribe {
            device: 1,
            subscription: Subscription::Commands,
            qos: QoS::AtLeastOnce,
        }),
        Step::Wait(Duration::from_secs(1)),
    ];
    let history = play(subscribe, |_, steps| {
        let command = CloudOperation::Command { device: 1, size: 8 };
        steps.extend((0..AT_ONCE).map(|_| Step::Cloud(command)));
    });
    let counts = history.counts();
    assert_eq!(counts.connections, 1);
    assert_eq!(counts.deliveries, (ROUNDS * AT_ONCE) as u64);
}
