//! The rules of the acknowledgement clock, each alone.

use super::*;
use crate::clock::Moment;

const T: Duration = Duration::from_secs(30);

/// A clock with windows of ten, and the stream that its packets are in: each packet takes ten bytes.
struct Stage {
    clock: AckClock<u32>,
    end: u64,
    keys: Vec<RecordKey>,
    /// The publications that were reported as skipped.
    skipped: Vec<u32>,
    /// Those that were disowned and are overdue.
    forgotten: Vec<u32>,
}

fn at(seconds: u64) -> PeerTime {
    at_millis(seconds * 1_000)
}

fn at_millis(millis: u64) -> PeerTime {
    crate::clock::PeerClock::default().time(Moment::default() + Duration::from_millis(millis))
}

impl Stage {
    fn new() -> Self {
        let limits = AckLimits {
            control_window: 10,
            subscription_window: 10,
            publication_window: 10,
            attach_timeout: T,
            timeout: T,
            max_timeout: 4 * T,
        };
        Self {
            clock: AckClock::new(&limits),
            end: 0,
            keys: Vec::new(),
            skipped: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    /// Queues packets, whose tags are the numbers of all packets so far.
    fn queue(&mut self, request: Request, count: u32) {
        for _ in 0..count {
            self.end += 10;
            let tag = self.keys.len() as u32;
            let id = PacketId::new(tag as u16 + 1).unwrap();
            self.keys.push(self.clock.next_key());
            self.clock.insert(request, id, self.end, tag);
        }
    }

    fn send(&mut self, request: Request, count: u32, now: PeerTime) {
        self.queue(request, count);
        self.clock.hand_over(self.end, now);
    }

    fn answer(&mut self, tag: u32, now: PeerTime) {
        assert_eq!(self.clock.answer(self.keys[tag as usize], now), tag);
    }

    fn send_again(&mut self, tag: u32, now: PeerTime) {
        self.end += 10;
        self.clock.sent_again(self.keys[tag as usize], self.end);
        self.clock.hand_over(self.end, now);
    }

    /// Returns the verdicts at a time: the tags of those that are overdue, and of those that were released.
    fn judge(&mut self, now: PeerTime) -> (Vec<u32>, Vec<u32>) {
        let (mut overdue, mut released) = (Vec::new(), Vec::new());
        while let Some(verdict) = self.clock.judge(now) {
            match verdict {
                Verdict::Overdue(_, tag) => overdue.push(tag),
                Verdict::Released(_, tag) => released.push(tag),
                Verdict::Skipped(tag) => self.skipped.push(tag),
                Verdict::Forgotten(id) => self.forgotten.push(u32::from(id.get()) - 1),
            }
        }
        assert!(self.clock.next_deadline().is_none_or(|next| next > now));
        (overdue, released)
    }

    fn in_window(&self, kind: Kind) -> usize {
        self.clock.kind(kind).in_window
    }
}

const NOTHING: (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());

#[test]
fn what_was_not_handed_over_has_no_deadline() {
    let mut stage = Stage::new();
    stage.queue(Request::Attach, 3);
    assert_eq!(stage.clock.next_deadline(), None);
    assert_eq!(stage.clock.probe_at(Kind::Control), None);
    stage.clock.hand_over(20, at(100));
    assert_eq!(stage.judge(at(129)), NOTHING);
    assert_eq!(stage.judge(at(131)), (vec![0, 1], vec![]));
}

#[test]
fn a_deadline_allows_for_the_bytes_that_a_slow_link_has_yet_to_carry() {
    let mut stage = Stage::new();
    stage.end = 1_000_000;
    stage.send(Request::Attach, 1, at(0));
    // 320 KiB at 2,000 bytes a second.
    let allowed = Duration::from_nanos(320 * 1024 * 500_000);
    assert_eq!(stage.clock.next_deadline(), Some(at(0) + T + allowed));
    stage.send(Request::Publication, 1, at(0));
    stage.answer(1, at(0));
    assert_eq!(stage.clock.next_deadline(), Some(at(0) + T));
}

#[test]
fn an_answer_to_another_of_its_kind_moves_the_deadline() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 3, at(0));
    stage.answer(0, at(25));
    assert_eq!(stage.judge(at(54)), NOTHING);
    stage.answer(1, at(54));
    assert_eq!(stage.judge(at(83)), NOTHING);
    assert_eq!(stage.judge(at(85)), (vec![2], vec![]));
}

#[test]
fn an_answer_to_the_oldest_of_all_kinds_moves_every_deadline() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 1, at(0));
    stage.send(Request::Subscription, 1, at(0));
    stage.send(Request::Publication, 1, at(0));
    stage.answer(1, at(20));
    stage.answer(0, at(29));
    assert_eq!(stage.judge(at(58)), NOTHING);
    assert_eq!(stage.clock.oldest_late(Kind::Publication), None);
    stage.judge(at(60));
    assert_eq!(stage.clock.oldest_late(Kind::Publication), Some(2));
}

#[test]
fn an_overdue_packet_does_not_hide_that_the_oldest_of_the_others_is_answered() {
    let mut stage = Stage::new();
    stage.send(Request::Subscription, 1, at(0));
    assert_eq!(stage.judge(at(31)), (vec![0], vec![]));
    stage.send(Request::Publication, 2, at(40));
    stage.send(Request::Subscription, 1, at(40));
    stage.answer(1, at(60));
    assert_eq!(stage.judge(at(89)), NOTHING);
    assert_eq!(stage.judge(at(91)), (vec![3], vec![]));
}

#[test]
fn the_first_answer_that_overtakes_a_packet_fixes_its_deadline() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 4, at(0));
    stage.answer(1, at(10));
    stage.answer(2, at(20));
    stage.answer(3, at(39));
    assert_eq!(stage.judge(at(39)), NOTHING);
    assert_eq!(stage.judge(at(40)), (vec![0], vec![]));
}

#[test]
fn a_packet_that_is_overtaken_for_four_round_trips_leaves_the_window() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 2, at(0));
    stage.answer(1, at(2));
    assert_eq!(stage.judge(at_millis(9_999)), NOTHING);
    assert_eq!(stage.in_window(Kind::Control), 1);
    assert_eq!(stage.judge(at(10)), NOTHING);
    assert_eq!(stage.in_window(Kind::Control), 0);
    assert_eq!(stage.judge(at(32)), (vec![0], vec![]));
    assert!(stage.clock.is_released(stage.keys[0]));
}

#[test]
fn a_round_trip_of_milliseconds_gives_a_second_of_patience() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 2, at(0));
    stage.answer(1, at_millis(20));
    assert_eq!(stage.judge(at_millis(1_019)), NOTHING);
    assert_eq!(stage.in_window(Kind::Control), 1);
    assert_eq!(stage.judge(at_millis(1_020)), NOTHING);
    assert_eq!(stage.in_window(Kind::Control), 0);
}

#[test]
fn what_is_overdue_and_not_overtaken_stays_in_the_window_until_it_is_overtaken() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 3, at(0));
    assert_eq!(stage.judge(at(31)), (vec![0, 1, 2], vec![]));
    assert_eq!(stage.in_window(Kind::Control), 3);
    assert!(!stage.clock.is_released(stage.keys[0]));
    stage.answer(2, at(50));
    assert_eq!(stage.clock.next_deadline(), Some(at(50)));
    assert_eq!(stage.judge(at(50)), (vec![], vec![0, 1]));
    assert_eq!(stage.in_window(Kind::Control), 0);
    assert!(stage.clock.is_released(stage.keys[0]));
}

#[test]
fn a_late_answer_completes_its_packet_wherever_that_is() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 3, at(0));
    stage.answer(2, at(1));
    stage.judge(at(5));
    stage.answer(1, at(6));
    stage.judge(at(32));
    stage.answer(0, at(40));
    assert_eq!(stage.in_window(Kind::Control), 0);
    assert_eq!(stage.clock.next_deadline(), None);
}

#[test]
fn overdue_publications_are_sent_again_in_order_the_first_as_a_probe() {
    let mut stage = Stage::new();
    stage.send(Request::Publication, 4, at(0));
    assert_eq!(stage.judge(at(31)), NOTHING);
    assert!(!stage.clock.has_again());
    assert_eq!(stage.clock.oldest_late(Kind::Publication), Some(0));
    stage.send_again(0, at(31));
    // The answer may be that of the first copy: the others have a second for theirs.
    stage.answer(0, at(32));
    stage.judge(at_millis(32_999));
    assert!(!stage.clock.has_again());
    stage.judge(at(33));
    for tag in 1..4 {
        assert_eq!(stage.clock.next_again(), Some(tag));
        stage.send_again(tag, at(33));
    }
}

#[test]
fn publications_that_leave_the_window_unanswered_are_told_once_each_time() {
    let mut stage = Stage::new();
    stage.send(Request::Publication, 4, at(0));
    stage.answer(2, at(1));
    stage.judge(at(4));
    assert!(stage.skipped.is_empty());
    stage.judge(at(5));
    assert_eq!(stage.skipped, [0, 1]);
    assert_eq!(stage.in_window(Kind::Publication), 1);
    // The last one is overdue, and nothing overtook it.
    stage.judge(at(60));
    assert_eq!(stage.skipped, [0, 1]);
    for tag in [0, 1] {
        stage.send_again(tag, at(60));
    }
    stage.answer(1, at(61));
    stage.judge(at(70));
    assert_eq!(stage.skipped, [0, 1, 3, 0]);
}

#[test]
fn the_timeout_of_a_publication_doubles_with_each_attempt() {
    let mut stage = Stage::new();
    let mut now = 0;
    stage.send(Request::Publication, 1, at(0));
    for timeout in [30, 60, 120, 120] {
        stage.judge(at(now + timeout - 1));
        assert_eq!(stage.clock.oldest_late(Kind::Publication), None);
        now += timeout + 1;
        stage.judge(at(now));
        assert_eq!(stage.clock.oldest_late(Kind::Publication), Some(0));
        stage.send_again(0, at(now));
    }
}

#[test]
fn an_answer_that_may_be_that_of_the_first_copy_measures_and_proves_nothing() {
    let mut stage = Stage::new();
    stage.send(Request::Publication, 1, at(0));
    stage.judge(at(31));
    stage.send_again(0, at(31));
    stage.answer(0, at_millis(31_001));
    assert_eq!(stage.clock.proven(), 0);
    stage.send(Request::Publication, 1, at(40));
    assert_eq!(stage.clock.probe_at(Kind::Publication), Some(at(43)));
}

#[test]
fn what_another_packet_asks_for_leaves_the_window_and_can_still_be_answered() {
    let mut stage = Stage::new();
    stage.send(Request::Subscription, 1, at(0));
    assert_eq!(stage.judge(at(31)), (vec![0], vec![]));
    stage.clock.park(stage.keys[0]);
    stage.send(Request::Subscription, 1, at(31));
    assert_eq!(stage.in_window(Kind::Subscription), 1);
    stage.answer(0, at(32));
    stage.answer(1, at(33));
    assert_eq!(stage.in_window(Kind::Subscription), 0);
}

#[test]
fn what_is_sent_again_takes_a_tenth_of_the_window_and_is_given_it() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 3, at(0));
    stage.answer(2, at(1));
    stage.judge(at(40));
    assert!(stage.clock.has_room_again(Kind::Control));
    stage.send_again(0, at(40));
    assert!(!stage.clock.has_room_again(Kind::Control));
    assert_ne!(stage.clock.room(Kind::Control, true), 0);

    stage.send(Request::Attach, 9, at(41));
    assert_eq!(stage.clock.room(Kind::Control, true), 0);
    stage.answer(0, at(42));
    assert_ne!(stage.clock.room(Kind::Control, false), 0);
    assert_eq!(stage.clock.room(Kind::Control, true), 0);
    assert!(stage.clock.has_room_again(Kind::Control));
}

#[test]
fn a_probe_is_due_when_nothing_moves_and_at_growing_intervals() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 10, at(0));
    assert_eq!(stage.clock.room(Kind::Control, false), 0);
    let mut now = 0;
    for wait in [3, 6, 12, 24, 30, 30] {
        now += wait;
        assert_eq!(stage.clock.probe_at(Kind::Control), Some(at(now)));
        stage.send(Request::Attach, 1, at(now));
        stage.clock.probed(Kind::Control, at(now));
    }
    stage.answer(15, at(now + 2));
    // Twice the measured round trip.
    assert_eq!(stage.clock.probe_at(Kind::Control), Some(at(now + 2 + 4)));
}

#[test]
fn what_the_peer_has_given_up_leaves_the_window_and_is_no_answer() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 3, at(0));
    stage.clock.forget(stage.keys[2]);
    assert_eq!(stage.in_window(Kind::Control), 2);
    assert_eq!(stage.judge(at(31)), (vec![0, 1], vec![]));
}

#[test]
fn a_packet_whose_operation_has_ended_leaves_the_window_when_it_is_overdue_and_says_nothing() {
    let mut stage = Stage::new();
    stage.send(Request::Attach, 3, at(0));
    stage.clock.disown(stage.keys[2], 99);
    assert_eq!(stage.in_window(Kind::Control), 3);
    assert_eq!(stage.clock.in_window(Kind::Control), 2);
    assert_eq!(stage.judge(at(31)), (vec![0, 1], vec![]));
    assert_eq!(stage.forgotten, [2]);
    assert_eq!(stage.in_window(Kind::Control), 2);
    stage.clock.disown(stage.keys[1], 99);
    assert_eq!(stage.in_window(Kind::Control), 1);
}

#[test]
fn a_publication_whose_operation_has_ended_is_not_sent_again() {
    let mut stage = Stage::new();
    stage.send(Request::Publication, 3, at(0));
    stage.answer(2, at(1));
    stage.clock.disown(stage.keys[0], 99);
    stage.judge(at(40));
    assert_eq!(stage.clock.next_again(), Some(1));
    stage.clock.disown(stage.keys[1], 99);
    assert_eq!(stage.clock.next_again(), None);
    assert_eq!(stage.in_window(Kind::Publication), 0);
    assert_eq!(stage.forgotten, [0]);
}

#[test]
fn an_overdue_packet_can_be_postponed_by_its_timeout() {
    let mut stage = Stage::new();
    stage.send(Request::Publication, 2, at(0));
    stage.answer(1, at(1));
    stage.judge(at(32));
    assert_eq!(stage.clock.next_again(), Some(0));
    stage.clock.postpone(stage.keys[0], at(32));
    stage.judge(at(61));
    assert_eq!(stage.clock.next_again(), None);
    stage.judge(at(62));
    assert_eq!(stage.clock.next_again(), Some(0));
}
