//! At steady state an outbound message costs no allocation: from its acceptance to the end of its operation.

mod peer;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use bytes::Bytes;
use iotcore_gateway::{DeviceKey, Event, Options, Outcome, Publication, Quota};
use peer::Session;

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many messages are in flight at once.
const WINDOW: usize = 50;

/// Publishes a window of messages, has them acknowledged, and takes their ends.
fn round(session: &mut Session, device: DeviceKey, payload: &Bytes, acknowledgements: &mut [u8]) {
    for _ in 0..WINDOW {
        let publication = Publication::telemetry(device, payload.clone());
        session.gateway.publish(publication, session.now).unwrap();
    }
    let mut written = 0;
    loop {
        let bytes = session.gateway.poll_transmit();
        let len = bytes.len();
        if len == 0 {
            break;
        }
        // Fixed header 2, length and topic 2 + 24, identifier 2, payload 64: each PUBLISH has as many bytes.
        for packet in bytes.chunks(2 + 2 + 24 + 2 + 64) {
            acknowledgements[4 * written..][..4]
                .copy_from_slice(&[0x40, 2, packet[28], packet[29]]);
            written += 1;
        }
        session.gateway.handle_transmitted(len, session.now);
    }
    assert_eq!(written, WINDOW);
    session.gateway.handle_input(acknowledgements, session.now);
    for _ in 0..WINDOW {
        let event = session.gateway.poll_event();
        assert!(matches!(
            event,
            Some(Event::Done {
                outcome: Outcome::Acknowledged,
                ..
            })
        ));
    }
}

#[test]
fn at_steady_state_an_outbound_message_costs_no_allocation() {
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    let (mut session, device) = Session::attached(options);
    let payload = Bytes::from(vec![7; 64]);
    let mut acknowledgements = vec![0; 4 * WINDOW];
    // Until every packet identifier has been used once.
    for _ in 0..65_535 / WINDOW + 1 {
        round(&mut session, device, &payload, &mut acknowledgements);
    }
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        round(&mut session, device, &payload, &mut acknowledgements);
    }
    assert_eq!(
        ALLOCATIONS.get() - before,
        0,
        "for {} messages",
        100 * WINDOW
    );
}
