use proptest::prelude::*;

use super::*;

/// Every word, in canonical order and format.
const LINES: &[&str] = &[
    "",
    "per-kind",
    "workers=4",
    "attach=400ms subscribe=1s publish=2s ping=1500us",
    "tail=1.5:20",
    "tail=0.001:1",
    "tail=1000:4294967295",
    "burst=45s",
    "buffer=20",
    "lose=100/1000",
    "lose=1000/1000",
    "lose-attach=1/1000 lose-publish=999/1000",
    "lose-subscribe=10/1000 lose-ping=10/1000",
    "ignore=device-1,device-2",
    "ignore-publish=device-4,device-5",
    "ignore-all=device-3",
    "stall=0s+5s",
    "stall=60s+250ms",
    "seed=18446744073709551615",
    "per-kind workers=4 attach=400ms publish=2s tail=1.25:50 burst=45s buffer=20 lose=100/1000 ignore=a ignore-publish=c ignore-all=b \
     stall=1s+2s seed=7",
];

#[test]
fn every_service_reads_as_it_is_written_on_a_line_and_in_json() {
    let mut services: Vec<Service> = Vec::new();
    for line in LINES {
        let service: Service = line
            .parse()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(service.to_string(), *line);
        let json = serde_json::to_string(&service).unwrap();
        assert_eq!(json, format!("{line:?}"));
        assert_eq!(serde_json::from_str::<Service>(&json).unwrap(), service);
        assert!(!services.contains(&service), "{line}");
        services.push(service);
    }
    assert_eq!(services.first(), Some(&Service::default()));
}

#[test]
fn a_line_may_be_written_otherwise() {
    for (line, canonical) in [
        ("one", ""),
        ("  seed=0   workers=1 ", ""),
        ("attach=2000ms", "attach=2s"),
        ("publish=0s one attach=007s", "attach=7s"),
        ("lose=0/1000", ""),
        (
            "lose=5/1000 lose-ping=0/1000",
            "lose-attach=5/1000 lose-subscribe=5/1000 lose-publish=5/1000",
        ),
        ("tail=2.50:3", "tail=2.5:3"),
    ] {
        let service: Service = line.parse().unwrap();
        assert_eq!(service.to_string(), canonical);
    }
}

#[test]
fn every_mistake_in_a_line_is_answered_with_what_it_should_be() {
    for (line, word, expected) in [
        ("two", "\"two\"", "one, per-kind, workers="),
        ("attach", "\"attach\"", "attach=, subscribe="),
        ("one=1", "\"one=1\"", "one, per-kind"),
        ("atach=1s", "\"atach=1s\"", "attach="),
        (
            "lose-detach=1/1000",
            "\"lose-detach=1/1000\"",
            "lose-attach=",
        ),
        ("workers=0", "\"workers=0\"", "1 to 4294967295"),
        ("workers=", "\"workers=\"", "1 to 4294967295"),
        ("buffer=0", "\"buffer=0\"", "1 to 4294967295"),
        ("attach=1", "\"attach=1\"", "such as 400ms"),
        ("attach=1h", "\"attach=1h\"", "s, ms, us or ns"),
        ("attach=-1s", "\"attach=-1s\"", "whole number"),
        ("attach=1.5s", "\"attach=1.5s\"", "whole number"),
        ("attach=86401s", "\"attach=86401s\"", "at most a day"),
        ("burst=0s", "\"burst=0s\"", "whole number"),
        ("tail=1.5", "\"tail=1.5\"", "SHAPE:MAX"),
        ("tail=0:5", "\"tail=0:5\"", "SHAPE:MAX"),
        ("tail=1.2345:5", "\"tail=1.2345:5\"", "three decimals"),
        ("tail=1.:5", "\"tail=1.:5\"", "SHAPE:MAX"),
        ("tail=1.5:0", "\"tail=1.5:0\"", "SHAPE:MAX"),
        ("lose=10", "\"lose=10\"", "100/1000"),
        ("lose=1001/1000", "\"lose=1001/1000\"", "100/1000"),
        ("lose=10%", "\"lose=10%\"", "100/1000"),
        ("ignore=", "\"ignore=\"", "separated by commas"),
        (
            "ignore-all=a,,b",
            "\"ignore-all=a,,b\"",
            "separated by commas",
        ),
        ("stall=5s", "\"stall=5s\"", "60s+5s"),
        ("seed=-1", "\"seed=-1\"", "from 0"),
        ("one per-kind", "\"per-kind\"", "again"),
        ("attach=1s attach=2s", "\"attach=2s\"", "again"),
    ] {
        let error = line.parse::<Service>().expect_err(line).to_string();
        assert!(
            error.contains(word) && error.contains(expected),
            "{line}: {error}"
        );
        assert!(serde_json::from_value::<Service>(line.into()).is_err());
    }
}

fn times() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..10_000_u64).prop_map(Duration::from_secs),
        (0..10_000_u64).prop_map(Duration::from_millis),
        any::<u32>().prop_map(|nanos| Duration::from_nanos(nanos.into())),
    ]
}

fn services() -> impl Strategy<Value = Service> {
    let works = prop::array::uniform4((times(), 0..=1_000_u16));
    let devices = || prop::collection::vec("[a-z][a-z0-9-]{0,8}", 0..3);
    let tails = prop::option::of((1..=1_000_000_u32, 1..=u32::MAX));
    (
        (any::<bool>(), 1..=u32::MAX, works, tails),
        (times(), any::<u32>(), devices(), devices()),
        (prop::option::of((times(), times())), any::<u64>()),
    )
        .prop_map(
            |((per_kind, workers, works, tail), (burst, buffer, some, all), (stall, seed))| {
                let mut service = match per_kind {
                    true => Service::per_kind(),
                    false => Service::one_queue(),
                };
                service = service.workers(workers).bursts(burst).seed(seed);
                service = service.ignoring(some).ignoring_entirely(all);
                for (kind, (time, lost)) in ServiceKind::ALL.into_iter().zip(works) {
                    service.work_mut(kind).time = time;
                    service.work_mut(kind).lost = lost;
                }
                service.buffer = NonZeroU32::new(buffer);
                service.tail = tail.and_then(|(shape, limit)| {
                    Some(Tail {
                        shape: NonZeroU32::new(shape)?,
                        limit: NonZeroU32::new(limit)?,
                    })
                });
                service.stall = stall.map(|(from, duration)| Stall { from, duration });
                service
            },
        )
}

proptest! {
    #[test]
    fn any_service_reads_as_it_is_written(service in services()) {
        let text = service.to_string();
        prop_assert_eq!(text.parse::<Service>(), Ok(service), "{}", text);
    }

    #[test]
    fn any_text_is_a_service_or_an_error(text in "[a-z=0-9:/+,. -]{0,40}") {
        if let Ok(service) = text.parse::<Service>() {
            prop_assert_eq!(service.to_string().parse(), Ok(service));
        }
    }
}
