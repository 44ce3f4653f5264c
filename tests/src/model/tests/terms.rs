//! Cancels, deadlines and priorities.

use iotcore_gateway::{
    Failure, Publication,
    auth::{Token, UnixTime},
    command_error::CommandError,
    message::{Priority, Tag, Unsent},
};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn urgent() -> Terms {
    Terms {
        priority: Priority::Urgent,
        ..Terms::default()
    }
}

impl World {
    /// Brings the gateway into an open connection with a window of one; only the model's rules are of interest.
    fn open() -> Self {
        let mut world = Self::new();
        let mut options = Options::default();
        options.window = 1;
        world.gateway = Link::new(options).gateway;
        let (gateway, now) = (&mut world.gateway, world.now);
        gateway.open(now).unwrap();
        let token = Token::new("a.b.c", now + HOUR).unwrap();
        gateway.handle_connected(token, UnixTime::from_secs(1_795_374_000), now);
        for answer in [&[0x20, 2, 0, 0][..], &[0x90, 3, 0, 1, 0]] {
            gateway.handle_transmitted(gateway.poll_transmit().len(), now);
            gateway.handle_input(answer, now);
        }
        while gateway.poll_event().is_some() {}
        world.look().unwrap();
        world
    }

    fn look(&mut self) -> Result<(), Rule> {
        let looked = self.model.look(&self.gateway, self.now);
        looked.map_err(|finding| finding.rule)
    }

    /// Gives a publication with this number to the gateway.
    fn send(&mut self, number: u32) -> OpId {
        let publication = Publication::telemetry(self.gateway.own_key(), payload(number, 0));
        self.gateway.publish(publication, self.now).unwrap()
    }

    /// Gives a publication to the gateway and to the model.
    fn publish_with(&mut self, terms: Terms, expires_at: Option<Instant>) -> (u32, OpId) {
        let number = self.model.draft(0, false, QoS::AtLeastOnce, terms);
        let op = self.send(number);
        self.model.accept(number, op, 3, expires_at).unwrap();
        (number, op)
    }

    fn failed(&mut self, op: OpId, failure: Failure) -> Result<(), Rule> {
        let device = self.gateway.own_key();
        self.event(Event::Failed {
            op,
            device,
            failure,
            unsent: None,
        })
    }

    fn cancel(
        &mut self,
        op: OpId,
        answer: Result<(), CommandError>,
        was_unsent: bool,
    ) -> Result<(), Rule> {
        let checked = self.model.cancel(op, &answer, was_unsent, true);
        checked.map_err(|finding| finding.rule)
    }
}

#[test]
fn a_cancel_with_a_wrong_answer_is_found() {
    let mut world = World::new();
    let refused = |op| Err(CommandError::NotCancellable(op));
    let open = world.op(OperationKind::Open);
    let (_, op) = world.publish(false, QoS::AtLeastOnce);
    assert_eq!(world.cancel(open, refused(open), false), Ok(()));
    assert_eq!(world.cancel(open, Ok(()), false), Err(Rule::OneEnd));
    assert_eq!(world.cancel(op, refused(op), true), Err(Rule::OneEnd));
    assert_eq!(world.cancel(op, refused(open), false), Err(Rule::OneEnd));
    assert_eq!(world.cancel(op, Ok(()), false), Err(Rule::OneEnd));
    assert_eq!(world.cancel(op, Ok(()), true), Ok(()));
    assert_eq!(world.failed(op, Failure::Cancelled), Ok(()));
    assert_eq!(world.cancel(op, Ok(()), true), Err(Rule::OneEnd));
}

#[test]
fn a_cancelled_publication_that_nobody_has_cancelled_is_found() {
    let mut world = World::new();
    let (_, op) = world.publish(false, QoS::AtLeastOnce);
    let found = world.failed(op, Failure::Cancelled);
    assert_eq!(found, Err(Rule::Delivery));
}

#[test]
fn a_publication_that_expires_too_early_or_never_is_found() {
    for (early, found) in [(0, Ok(())), (1, Err(Rule::Delivery))] {
        let mut world = World::open();
        let at = world.now + HOUR;
        let (_, op) = world.publish_with(Terms::default(), Some(at));
        world.look().unwrap();
        world.now = at - Duration::from_millis(early);
        assert_eq!(world.failed(op, Failure::Expired), found);
    }
    // The gateway does not know of this deadline, and the model does.
    let mut world = World::new();
    let at = world.now + HOUR;
    world.publish_with(Terms::default(), Some(at));
    assert_eq!(world.look(), Err(Rule::Progress));
}

#[test]
fn a_publication_that_has_ended_or_expired_or_is_unknown_and_is_sent_is_found() {
    let mut world = World::open();
    world.send(0);
    assert_eq!(world.look(), Err(Rule::Delivery), "unknown");

    let mut world = World::open();
    world.publish_with(Terms::default(), Some(world.now));
    assert_eq!(world.look(), Err(Rule::Delivery), "expired");

    let mut world = World::open();
    let (_, op) = world.publish_with(Terms::default(), None);
    assert_eq!(world.cancel(op, Ok(()), true), Ok(()));
    assert_eq!(world.look(), Err(Rule::Delivery), "cancelled");
}

#[test]
fn an_urgent_publication_behind_an_ordinary_one_is_found() {
    let (plain, urgent) = (Terms::default(), urgent());
    for (first, second, found) in [
        (plain, urgent, Err(Rule::Delivery)),
        (urgent, plain, Ok(())),
        (urgent, urgent, Ok(())),
    ] {
        let mut world = World::open();
        world.publish_with(first, None);
        world.publish_with(second, None);
        assert_eq!(world.look(), found, "{first:?}, {second:?}");
    }
}

#[test]
fn a_first_transmission_out_of_order_is_found_within_a_priority() {
    for (earlier, found) in [(Terms::default(), Err(Rule::Delivery)), (urgent(), Ok(()))] {
        let mut world = World::open();
        let first = world.model.draft(0, false, QoS::AtMostOnce, earlier);
        world.publish_with(Terms::default(), None);
        world.look().unwrap();
        let packet = |number| packets::publish(OWN, payload(number, 0).as_bytes(), None, false);
        // As if it were accepted, and queued only now.
        let op = world.op(OperationKind::Open);
        world.model.accept(first, op, 3, None).unwrap();
        let (head, body, _) = packets::split(&packet(first))
            .map(|(head, body, rest)| (head, body.to_vec(), rest.len()))
            .unwrap();
        let queued = outgoing::Queued::read(head, &body).unwrap();
        let looked = world.model.on_queued(&queued, &world.gateway, world.now);
        assert_eq!(looked.map_err(|finding| finding.rule), found);
    }
}

#[test]
fn a_publication_that_comes_back_changed_is_found() {
    let mut world = World::new();
    let terms = Terms {
        priority: Priority::Urgent,
        expires_after: Some(HOUR),
        is_tagged: true,
    };
    let number = world.model.draft(0, false, QoS::AtLeastOnce, terms);
    let tag: Tag = tag(number);
    let publication = Publication::telemetry(world.gateway.own_key(), payload(number, 0));
    let publication = publication
        .priority(Priority::Urgent)
        .expires_after(HOUR)
        .tag(tag);
    let op = world.gateway.publish(publication, world.now).unwrap();
    let at = world.now + HOUR;
    world.model.accept(number, op, 3, Some(at)).unwrap();
    let unsent = world.gateway.unsent().next().unwrap();
    let changed = |change: fn(&mut Unsent)| {
        let mut unsent = unsent.clone();
        change(&mut unsent);
        let checked = world.model.check_handed_back(&unsent, world.now);
        checked.map_err(|finding| finding.rule)
    };
    assert_eq!(changed(|_| ()), Ok(()));
    let changes: [fn(&mut Unsent); 7] = [
        |unsent| unsent.tag = None,
        |unsent| unsent.priority = Priority::Ordinary,
        |unsent| unsent.expires_after = None,
        |unsent| unsent.expires_after = Some(HOUR * 2),
        |unsent| unsent.expires_after = Some(HOUR / 2),
        |unsent| unsent.qos = QoS::AtMostOnce,
        |unsent| unsent.payload = Bytes::from_static(b"p9.x"),
    ];
    for change in changes {
        assert_eq!(changed(change), Err(Rule::Delivery));
    }
}

#[test]
fn a_look_at_devices_that_does_not_fit_is_found() {
    let mut world = World::new();
    let own = world.gateway.own_key();
    let check = |world: &World| {
        let checked = world.model.check_devices(&world.gateway);
        checked.map_err(|finding| finding.rule)
    };
    assert_eq!(check(&world), Err(Rule::Delivery), "an unknown device");
    world.model.know(own, 0);
    assert_eq!(check(&world), Ok(()));
    let (_, op) = world.publish_with(Terms::default(), None);
    assert_eq!(check(&world), Ok(()));
    world.gateway.cancel(op, world.now).unwrap();
    assert_eq!(check(&world), Err(Rule::Delivery), "a wrong queue");
    world.cancel(op, Ok(()), true).unwrap();
    world.failed(op, Failure::Cancelled).unwrap();
    assert_eq!(check(&world), Ok(()));
    world.model.note_failure(own, &Failure::Dropped);
    assert_eq!(check(&world), Err(Rule::Delivery), "no last failure");
}
