//! Stores of the user's own, which may be wrong.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use iotcore_gateway::{
    ClientId, Options,
    driver::{
        Status,
        error::{StoreError, StoredError},
        store::Store,
    },
    store::{Record, Recovered, StoreFailure, StoreFailureKind, StoreOp, StoreSeq},
};

use super::{super::setup, Dials, Machine, Server, is_stored, poll_once};

/// Where a store panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Panics {
    Put,
    Commit,
    Tidy,
}

/// A store that keeps nothing, and panics.
struct Panicking {
    at: Panics,
    called: Arc<Mutex<u32>>,
}

impl Store for Panicking {
    fn restore(
        &mut self,
        _: &ClientId,
        _: &mut dyn FnMut(StoreSeq, Record<'_>),
    ) -> Result<Recovered, StoreError> {
        Ok(Recovered::default())
    }

    fn apply(&mut self, op: StoreOp<'_>) -> Result<(), StoreFailure> {
        *self.called.lock().unwrap() += 1;
        let at = match op {
            StoreOp::Commit { .. } => Panics::Commit,
            _ => Panics::Put,
        };
        assert_ne!(at, self.at, "on purpose");
        Ok(())
    }

    fn tidy(&mut self) {
        assert_ne!(Panics::Tidy, self.at, "on purpose");
    }
}

#[test]
fn a_store_that_panics_counts_as_broken_and_stops_no_message() {
    for at in [Panics::Put, Panics::Commit, Panics::Tidy] {
        let machine = Machine::new();
        machine.world.dials(Dials::Fail);
        let called = Arc::default();
        let store = Panicking {
            at,
            called: Arc::clone(&called),
        };
        let mut process = machine.run(setup(Options::default()).store(store));
        let mut delivery = process.publish("71");
        machine.world.run_until_idle();
        let stored = is_stored(&delivery);
        match at {
            // It was durable before the panic.
            Panics::Tidy => assert_eq!(stored, Some(Ok(()))),
            _ => assert!(
                matches!(stored, Some(Err(StoredError::StoreFailed(_)))),
                "{at:?}: {stored:?}"
            ),
        }
        let calls = *called.lock().unwrap();
        if at == Panics::Tidy {
            let next = process.publish("72");
            machine.world.run_until_idle();
            assert!(matches!(
                is_stored(&next),
                Some(Err(StoredError::StoreFailed(_)))
            ));
            next.cancel().unwrap();
        }
        let changes = machine.changes(&mut process);
        let failed = changes.iter().filter_map(|change| match change {
            Status::StoreFailed { failure } => Some(failure.kind),
            _ => None,
        });
        assert_eq!(Vec::from_iter(failed), [StoreFailureKind::Broken]);

        machine.world.dials(Dials::Succeed);
        let server = Server::accept_again(&machine.world);
        server.serve(&machine.world);
        assert_eq!(poll_once(&mut delivery), Some(Ok(())));
        machine.world.pass(Duration::from_secs(60));
        assert_eq!(*called.lock().unwrap(), calls, "it is not used any more");
    }
}
