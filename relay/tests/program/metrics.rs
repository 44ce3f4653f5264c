//! The metrics for Prometheus, over HTTP.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    child::{PATIENCE, PROGRAM, Relay},
    cloud::Cloud,
    eventually, telemetry,
};

/// What a busy machine needs beyond a time limit.
const SLACK: Duration = Duration::from_secs(3);

/// Starts a relay with metrics; returns their address.
fn start(cloud: &Cloud, more: &[&str]) -> (Relay, SocketAddr) {
    let mut options = cloud.options(&["--metrics", "127.0.0.1:0"]);
    options.extend(more.iter().map(|&option| option.to_owned()));
    let mut relay = Relay::start(&options);
    let told = relay.next().unwrap();
    (relay, address(&told))
}

fn address(told: &Value) -> SocketAddr {
    assert_eq!(told["event"], "metrics", "it is the first event");
    told["address"].as_str().unwrap().parse().unwrap()
}

/// Sends bytes, and returns all that is answered.
fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may be refused before it is read.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Returns the status line, the headers and the body of an answer.
fn ask(address: SocketAddr, method: &str, path: &str) -> (String, String, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: relay\r\n\r\n");
    let answer = String::from_utf8(exchange(address, request.as_bytes())).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    (
        status.to_owned(),
        headers.to_lowercase() + "\r\n",
        body.to_owned(),
    )
}

fn scrape(address: SocketAddr) -> String {
    let (status, headers, body) = ask(address, "GET", "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let media_type = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(headers.contains(media_type), "{headers}");
    body
}

/// Returns the value of each series, by its name with its labels, without `iotcore_relay_`.
fn values(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let name = name.strip_prefix("iotcore_relay_").unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    series.collect()
}

/// The metric of each member of `stats`.
const METRICS: [(&str, &str); 22] = [
    ("connected", "connected"),
    ("connections", "connections_total"),
    ("accepted", "messages_accepted_total"),
    ("published", "messages_published_total"),
    ("resent", "messages_resent_total"),
    ("probes", "probes_total"),
    ("delays", "delays_total"),
    ("delayed_ms", "delayed_seconds_total"),
    ("dropped", "messages_dropped_total"),
    ("unsolicited", "unsolicited_acknowledgements_total"),
    ("duplicates", "duplicates_total"),
    ("queued", "queued_messages"),
    ("queued_bytes", "queued_bytes"),
    ("stored", "stored_messages"),
    ("stored_bytes", "stored_bytes"),
    ("in_flight", "in_flight_messages"),
    ("skipped", "skipped_messages"),
    ("latency_ms", "latency_seconds"),
    ("worst_latency_ms", "worst_latency_seconds"),
    ("unacknowledged", "unacknowledged_messages"),
    ("reading_paused_ms", "reading_paused_seconds"),
    ("devices", "devices"),
];

#[test]
fn the_metrics_are_the_counters_of_stats() {
    let cloud = Cloud::plain();
    let options = ["--backoff-min", "10", "--state-interval", "60000"];
    let (mut relay, address) = start(
        &cloud,
        &[&options[..], &["--acknowledge", "manual"]].concat(),
    );
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.expect_end(1);
    relay.expect("config");
    cloud.cut("gateway-1");
    relay.expect("disconnected");
    relay.expect("attached");
    relay.expect("config");
    for id in 2..10 {
        relay.send(telemetry(id, "12345"));
        assert_eq!(relay.expect_end(id)["event"], "done");
    }
    for id in 10..12 {
        relay.send(json!({"op": "state", "id": id, "device": "boiler-7", "payload": "1234567"}));
    }
    relay.expect_end(10);
    // It is answered once the second state is accepted.
    relay.send(json!({"op": "unsent"}));
    relay.expect("unsent");
    let text = scrape(address);
    relay.send(json!({"op": "stats"}));
    let stats = relay.expect("stats");
    let values = values(&text);
    for (member, value) in stats.as_object().unwrap() {
        if ["event", "last_disconnect"].contains(&member.as_str()) {
            continue;
        }
        let metric = METRICS.iter().find(|(name, _)| name == member);
        let (_, metric) = metric.unwrap_or_else(|| panic!("{member} has no metric"));
        let scale = if member.ends_with("_ms") { 1e3 } else { 1.0 };
        let expected = match value {
            Value::Bool(is_so) => f64::from(*is_so),
            number => number.as_f64().unwrap_or_default(),
        };
        let shown = values[*metric] * scale;
        assert!(
            (expected..expected + 1.0).contains(&shown),
            "{metric}: {shown}, {expected}"
        );
    }
    for (metric, expected) in [
        ("connections_total", 2.0),
        ("messages_accepted_total", 10.0),
        ("messages_published_total", 9.0),
        ("connected", 1.0),
        ("open_messages", 1.0),
        ("open_bytes", 7.0),
        ("queued_bytes", 7.0),
        ("delays_total", 1.0),
    ] {
        assert_eq!(values[metric], expected, "{metric}: {text}");
    }
    assert!(values["output_waiting_seconds"] < 1.0, "{text}");
    // The scrape has begun no new measurement of it.
    assert!(stats["worst_latency_ms"].is_u64(), "{stats}");
    assert!(!scrape(address).contains("worst_latency"));
}

#[test]
fn the_metrics_show_the_state_and_the_queue_of_each_device() {
    let cloud = Cloud::plain();
    let (mut relay, address) = start(&cloud, &[]);
    for (id, device) in [(0, "stranger-1"), (1, "boiler-7")] {
        relay.send(json!({"op": "attach", "id": id, "device": device}));
        relay.expect_end(id);
    }
    cloud.inject("puback hold 2");
    for id in 2..4 {
        relay.send(telemetry(id, "four"));
    }
    eventually("both are in flight", || {
        cloud.telemetry("boiler-7").len() == 2
    });
    let values = values(&scrape(address));
    let of_devices = values
        .iter()
        .filter(|(name, _)| name.starts_with("device_"));
    let shown: Vec<_> = of_devices.map(|(name, value)| (&**name, *value)).collect();
    let expected = [
        (r#"device_in_flight_messages{device="boiler-7"}"#, 2.0),
        (r#"device_in_flight_messages{device="gateway-1"}"#, 0.0),
        (r#"device_in_flight_messages{device="stranger-1"}"#, 0.0),
        (r#"device_queued_bytes{device="boiler-7"}"#, 8.0),
        (r#"device_queued_bytes{device="gateway-1"}"#, 0.0),
        (r#"device_queued_bytes{device="stranger-1"}"#, 0.0),
        (r#"device_queued_messages{device="boiler-7"}"#, 2.0),
        (r#"device_queued_messages{device="gateway-1"}"#, 0.0),
        (r#"device_queued_messages{device="stranger-1"}"#, 0.0),
        (r#"device_state{device="boiler-7",state="attached"}"#, 1.0),
        (r#"device_state{device="gateway-1",state="attached"}"#, 1.0),
        (r#"device_state{device="stranger-1",state="refused"}"#, 1.0),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn the_chapter_on_the_relay_lists_every_metric() {
    let chapter = include_str!("../../../docs/book/relay.md");
    let cloud = Cloud::plain();
    let (mut relay, address) = start(&cloud, &[]);
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    relay.expect_end(1);
    for series in values(&scrape(address)).keys() {
        let name = series.split('{').next().unwrap();
        let is_listed = chapter.contains(&format!("`{name}`"));
        assert!(
            is_listed || chapter.contains(&format!("`{name}{{")),
            "{name}"
        );
    }
    relay.close().assert_closed(0);
}

#[test]
fn promtool_finds_the_metrics_right() {
    let cloud = Cloud::plain();
    let (mut relay, address) = start(&cloud, &[]);
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    relay.expect_end(1);
    let text = scrape(address);
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        assert!(
            env::var_os("PROMTOOL_REQUIRED").is_none(),
            "promtool is missing"
        );
        let _ = writeln!(
            io::stderr(),
            "skipped: there is no promtool (Debian's package prometheus has it)"
        );
        return;
    };
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8(said).unwrap(), "");
    assert!(output.status.success());
}

#[test]
fn an_unread_output_shows_in_the_metrics() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start_unread(&cloud.options(&["--metrics", "127.0.0.1:0"]), &[]);
    let address = address(&relay.read_one());
    let mut input = relay.take_input();
    // Their answers are more than a pipe holds.
    let writing = thread::spawn(move || {
        for _ in 0..5_000 {
            writeln!(input, "{}", json!({"op": "stats"})).unwrap();
        }
    });
    eventually("the output has not been read for a second", || {
        values(&scrape(address))["output_waiting_seconds"] > 1.0
    });
    relay.read();
    relay.wait().assert_closed(0);
    writing.join().unwrap();
}

#[test]
fn a_wrong_request_is_told_what_is_right() {
    let cloud = Cloud::plain();
    let (relay, address) = start(&cloud, &[]);
    let (status, _, body) = ask(address, "GET", "/");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert_eq!(body, "the metrics are at /metrics\n");
    let (status, headers, _) = ask(address, "DELETE", "/metrics");
    assert_eq!(status, "HTTP/1.1 405 Method Not Allowed");
    assert!(headers.contains("allow: get, head\r\n"), "{headers}");
    let (status, _, body) = ask(address, "HEAD", "/metrics");
    assert_eq!((&*status, &*body), ("HTTP/1.1 200 OK", ""));
    let (status, _, body) = ask(address, "GET", "/metrics?name%5B%5D=up");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.contains("iotcore_relay_connected "), "{body}");
    relay.close().assert_closed(0);
}

#[test]
fn no_bytes_in_a_request_do_harm() {
    let cloud = Cloud::plain();
    let (relay, address) = start(&cloud, &[]);
    let long = "x".repeat(100_000);
    let many = "a: b\r\n".repeat(10_000);
    let requests = [
        Vec::new(),
        b"\r\n\r\n\r\n".to_vec(),
        vec![0; 100_000],
        (0..=255).cycle().take(100_000).collect(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET /metrics HTTP/9.9\r\n\r\n".to_vec(),
        b"GET http://[::1 HTTP/1.1\r\n\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\n\r\n".to_vec(),
        b"CONNECT relay:1 HTTP/1.1\r\n\r\n".to_vec(),
        b"GET //%00/%ff\xff?\x80 HTTP/1.1\r\nHost: \xff\r\n\r\n".to_vec(),
        b"GET /metrics HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n".to_vec(),
        b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"
            .to_vec(),
        format!("GET /{long} HTTP/1.1\r\n\r\n").into_bytes(),
        format!("GET /metrics HTTP/1.1\r\nHost: {long}\r\n\r\n").into_bytes(),
        format!("GET /metrics HTTP/1.1\r\n{many}\r\n").into_bytes(),
    ];
    for request in &requests {
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(request);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    scrape(address);
    let end = relay.close();
    end.assert_closed(0);
    assert_eq!(end.stderr, "");
}

#[test]
fn clients_that_send_nothing_hold_up_neither_the_relay_nor_for_long_the_metrics() {
    const LIMIT: Duration = Duration::from_secs(1);
    let cloud = Cloud::plain();
    let (mut relay, address) = start(&cloud, &[]);
    relay.expect("connected");
    let idle: Vec<_> = (0..64)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let begun = Instant::now();
    for id in 0..100 {
        relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
        assert_eq!(relay.expect_end(id)["event"], "done");
    }
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    scrape(address);
    let took = begun.elapsed();
    assert!(took < LIMIT + SLACK, "{took:?}");
    assert!(took > LIMIT / 2, "the connections are bounded: {took:?}");
    drop(idle);
    relay.close().assert_closed(0);
}

#[test]
fn an_address_that_is_in_use_is_a_failure_and_none_a_mistake_of_usage() {
    let cloud = Cloud::plain();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (address, code, said) in [
        (
            &*taken,
            1,
            format!("iotcore-relay: --metrics {taken} cannot be listened on: "),
        ),
        ("localhost", 2, "--metrics <IP:PORT>".to_owned()),
    ] {
        let output = Command::new(PROGRAM)
            .args(cloud.options(&["--metrics", address]))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(&said), "{stderr}");
    }
}
