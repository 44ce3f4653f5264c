use super::*;

/// Every form of a line, in canonical format.
const LINES: &[&str] = &[
    "refuse close",
    "refuse 3 reset",
    "refuse 1 silence",
    "refuse 2 connack 5",
    "refuse connack 255",
    "puback hold",
    "suback hold 2",
    "unsuback hold",
    "pingresp hold --client my-gateway",
    "puback delay 500",
    "puback delay 4294967295 3",
    "puback double",
    "puback double 3 --client my-gateway",
    "suback reorder 4",
    "puback release",
    "service",
    "service per-kind workers=4 attach=400ms tail=1.5:20 lose=100/1000 ignore=dev-1,dev-2",
    "stall 5000",
    "stall 1 --client my-gateway",
    "rate up 1500",
    "rate down 1 --client my-gateway",
    "segment 1",
    "limit 20000",
    "limit 1 --client my-gateway",
    "raw d000ff",
    "raw 00 --client my-gateway",
    "reports lose",
    "reports lose 2",
    "poison publish dev-1",
    "poison telemetry dev-1 706f69736f6e --client my-gateway",
    "poison attach dev-1",
    "poison subscribe my-gateway",
    "grant qos0",
    "grant failure 1 --client my-gateway",
    "clear",
    "clear --client my-gateway",
];

#[test]
fn every_fault_reads_as_it_is_written_on_a_line_and_in_json() {
    let cuts = CutMoment::ALL.iter().flat_map(|moment| {
        let packets = PacketKind::ALL.iter();
        packets.map(|packet| format!("cut {} {}", moment.word(), packet.word()))
    });
    let answers = AnswerKind::ALL
        .iter()
        .map(|answer| format!("{} hold", answer.word()));
    let lines: Vec<String> = LINES
        .iter()
        .map(|line| (*line).to_owned())
        .chain(cuts)
        .chain(answers)
        .collect();
    let mut faults = Vec::new();
    for line in lines {
        let fault: Fault = line
            .parse()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(fault.to_string(), line);
        let json = serde_json::to_string(&fault).unwrap();
        assert_eq!(json, format!("{line:?}"));
        assert_eq!(serde_json::from_str::<Fault>(&json).unwrap(), fault);
        faults.push(fault);
    }
    let (first, others) = (faults.get(..LINES.len()).unwrap(), faults.len());
    for (index, fault) in first.iter().enumerate() {
        assert!(!first.get(..index).unwrap().contains(fault), "{fault}");
    }
    assert_eq!(others, LINES.len() + 3 * 11 + 4);
}

#[test]
fn a_line_has_alternative_forms() {
    for (line, canonical) in [
        ("  raw my-gateway D000 ", "raw d000 --client my-gateway"),
        (
            "--client my-gateway raw d000",
            "raw d000 --client my-gateway",
        ),
        ("puback --client g1 hold 2", "puback hold 2 --client g1"),
        ("refuse  007 close", "refuse 7 close"),
    ] {
        let fault: Fault = line.parse().unwrap();
        assert_eq!(fault.to_string(), canonical);
    }
}

#[test]
fn every_mistake_in_a_line_is_reported_with_the_valid_form() {
    for (line, word, expected) in [
        ("", "ends", "refuse, puback, suback"),
        ("--client", "ends", "after --client"),
        ("hold puback", "\"hold\"", "refuse, puback, suback"),
        ("PUBACK hold", "\"PUBACK\"", "refuse, puback, suback"),
        ("refuse", "ends", "close, reset, silence or connack CODE"),
        ("refuse 3", "ends", "close, reset, silence or connack CODE"),
        (
            "refuse two close",
            "\"two\"",
            "after the number of connections",
        ),
        ("refuse 0 close", "\"0\"", "how many, 1 or more"),
        ("refuse 99999999999 close", "\"99999999999\"", "how many"),
        ("refuse 1 connack", "ends", "return code, 1 to 255"),
        ("refuse 1 connack 0", "\"0\"", "return code, 1 to 255"),
        ("refuse 1 connack 256", "\"256\"", "return code, 1 to 255"),
        ("refuse 1 close now", "\"now\"", "after the end"),
        ("puback", "ends", "hold [N], release, delay"),
        ("puback lose", "\"lose\"", "hold [N], release, delay"),
        ("puback hold all", "\"all\"", "1 or more; nothing for all"),
        ("puback release 3", "\"3\"", "after the end"),
        ("puback delay", "ends", "milliseconds"),
        ("puback delay 0", "\"0\"", "milliseconds"),
        ("puback delay 0.5", "\"0.5\"", "milliseconds"),
        ("puback delay 500 -1", "\"-1\"", "how many"),
        ("puback double x", "\"x\"", "how many"),
        ("puback reorder", "ends", "2 or more"),
        ("puback reorder 1", "\"1\"", "2 or more"),
        ("puback reorder 4 2", "\"2\"", "after the end"),
        ("service atach=1s", "\"atach=1s\"", "per-kind, workers="),
        ("service attach=1", "\"attach=1\"", "such as 400ms"),
        ("service one --client g1", "\"--client\"", "of all clients"),
        ("stall", "ends", "milliseconds"),
        ("stall 5s", "\"5s\"", "milliseconds"),
        ("stall 5 6", "\"6\"", "after the end"),
        ("rate", "ends", "one of up, down"),
        ("rate 1500", "\"1500\"", "one of up, down"),
        ("rate up 0", "\"0\"", "bytes a second, 1 to"),
        ("segment", "ends", "the most bytes"),
        ("segment 0", "\"0\"", "1 or more"),
        ("raw", "ends", "hexadecimal"),
        ("raw my-gateway", "\"my-gateway\"", "hexadecimal"),
        ("raw my-gateway d00", "\"d00\"", "hexadecimal"),
        ("raw my-gateway d0 00", "\"00\"", "after the end"),
        ("raw d0 00 --client g1", "\"d0\"", "--client is given"),
        ("raw é0", "\"é0\"", "hexadecimal"),
        ("reports", "ends", "lose"),
        ("reports hold", "\"hold\"", "lose"),
        ("reports lose 0", "\"0\"", "how many"),
        ("cut", "ends", "one of before, instead, after"),
        (
            "cut during publish",
            "\"during\"",
            "one of before, instead, after",
        ),
        ("cut after", "ends", "one of connect, publish, attach"),
        (
            "cut after suback",
            "\"suback\"",
            "subscribe, unsubscribe, pingreq",
        ),
        ("cut after publish 2", "\"2\"", "after the end"),
        ("poison", "ends", "one of publish, attach, detach"),
        (
            "poison puback dev-1",
            "\"puback\"",
            "subscribe, unsubscribe",
        ),
        ("poison publish", "ends", "the id of a device"),
        ("poison publish dev-1 7", "\"7\"", "hexadecimal"),
        ("poison subscribe dev-1 00", "\"00\"", "a kind of PUBLISH"),
        ("poison attach dev-1 00 1", "\"1\"", "after the end"),
        ("grant", "ends", "one of qos0, failure"),
        ("grant qos1", "\"qos1\"", "one of qos0, failure"),
        ("grant qos0 0", "\"0\"", "how many"),
        ("clear all", "\"all\"", "after the end"),
    ] {
        let error = line.parse::<Fault>().expect_err(line).to_string();
        assert!(
            error.contains(word) && error.contains(expected),
            "{line}: {error}"
        );
        assert!(serde_json::from_value::<Fault>(line.into()).is_err());
    }
}
