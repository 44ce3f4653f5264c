//! HTTP proxies.

use std::io;

use proptest::prelude::*;

use super::scripted::{Scripted, assert_opens, failure};
use crate::driver::proxy::{Proxy, ProxyError};

const HOST: &str = "mqtt.example.org";

const REQUEST: &str =
    "CONNECT mqtt.example.org:8883 HTTP/1.1\r\nHost: mqtt.example.org:8883\r\n\r\n";

fn proxy() -> Proxy {
    Proxy::http("proxy.example", 3_128).unwrap()
}

fn with_credentials() -> Proxy {
    proxy().credentials("Aladdin", "open sesame").unwrap()
}

#[test]
fn a_success_opens_the_tunnel_and_leaves_what_follows_in_the_stream() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\nServer: with bare newlines\n\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        assert_opens(&proxy(), HOST, answer.as_bytes(), REQUEST.as_bytes());
    }
}

#[test]
fn an_ipv6_host_is_sent_in_brackets_and_credentials_as_basic() {
    let ok = b"HTTP/1.1 200 OK\r\n\r\n";
    let sent = b"CONNECT [::1]:8883 HTTP/1.1\r\nHost: [::1]:8883\r\n\r\n";
    assert_opens(&proxy(), "::1", ok, sent);
    let sent = b"CONNECT mqtt.example.org:8883 HTTP/1.1\r\nHost: mqtt.example.org:8883\r\n\
        Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
    assert_opens(&with_credentials(), HOST, ok, sent);
}

#[test]
fn each_refusal_says_what_to_do() {
    for (answer, part) in [
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "answered 400 Bad Request: it opens no tunnels",
        ),
        (
            "HTTP/1.1 403 Filtered\r\n\r\n",
            "answered 403 Filtered: it does not allow this host or port",
        ),
        ("HTTP/1.1 404 Not Found\r\n\r\n", "it opens no tunnels"),
        (
            "HTTP/1.1 405 Method Not Allowed\r\n\r\n",
            "it opens no tunnels",
        ),
        ("HTTP/1.1 429 Too Many Requests\r\n\r\n", "raise its limit"),
        (
            "HTTP/1.0 500 Unable to connect\r\n\r\n",
            "it could not reach the host",
        ),
        (
            "HTTP/1.1 501 Not Implemented\r\n\r\n",
            "it opens no tunnels",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\n\r\n",
            "it could not reach the host",
        ),
        (
            "HTTP/1.1 503\r\n\r\n",
            "answered 503: it could not reach the host",
        ),
        (
            "HTTP/1.1 504 Gateway Timeout\r\n\r\n",
            "no answer from the host in time",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n",
            "it asks for a login",
        ),
        (
            "HTTP/1.1 511 Network Authentication Required\r\n\r\n",
            "it asks for a login",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "the log of the proxy",
        ),
        (
            "HTTP/1.1 418 I'm a teapot\r\n\r\n",
            "answered 418 I'm a teapot: ",
        ),
    ] {
        let failure = failure(&proxy(), answer.as_bytes());
        assert!(failure.contains(part), "{part:?} is not in {failure}");
    }
}

#[test]
fn a_demand_for_authentication_says_which_part_is_missing() {
    let demand = |schemes: &str| format!("HTTP/1.1 407 Required\r\n{schemes}\r\n").into_bytes();
    let basic = demand("proxy-authenticate: basic realm=\"plant\"\r\n");
    let several = demand("Proxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic realm=\"x\"\r\n");
    let unauthorized =
        b"HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n".to_vec();
    let list = demand(
        "Proxy-Authenticate: Negotiate, Digest realm=\"a, b\", nonce = \"x\", Basic realm=\"c\"\r\n",
    );
    for answer in [&basic, &several, &list, &demand(""), &unauthorized] {
        let required = "it requires authentication: give a user name and a password";
        assert_eq!(failure(&proxy(), answer), required);
        let refused = "it refused the user name or the password: check both";
        assert_eq!(failure(&with_credentials(), answer), refused);
    }
    let other = demand("Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM TlRMTQ==\r\n");
    let list = demand("Proxy-Authenticate: Negotiate,NTLM, basically=\"Basic\"\r\n");
    for (proxy, answer) in [(proxy(), other), (with_credentials(), list)] {
        let failure = failure(&proxy, &answer);
        let part = "an authentication that is not supported (Negotiate, NTLM)";
        assert!(failure.contains(part), "{failure}");
    }
}

#[test]
fn something_other_than_http_is_told_at_its_first_byte() {
    for answer in [
        &b"\x05\x00"[..],
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\r\n\r\n",
    ] {
        let failure = failure(&proxy(), answer);
        assert!(failure.starts_with("its answer is not HTTP"), "{failure}");
    }
}

#[test]
fn the_form_of_the_lines_does_not_spoil_a_tunnel() {
    for answer in [
        &b"HTTP/1.0 200 OK\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\n\n",
        b"HTTP/1.1 200 OK\r\nProxy-agent : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nVia: a,\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        b"HTTP/1.1 200 ge\xf6ffnet\r\n\r\n",
    ] {
        assert_opens_once(answer);
    }
    let failure = failure(
        &proxy(),
        "HTTP/1.1 403 Zugriff für Geräte verweigert\r\n\r\n".as_bytes(),
    );
    assert!(failure.starts_with("it answered 403"), "{failure}");
}

#[test]
fn headers_are_bounded_in_bytes() {
    let too_long = "the header of its answer is longer than 16384 bytes";
    let field = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000));
    assert_eq!(failure(&proxy(), field.as_bytes()), too_long);
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
    assert_eq!(failure(&proxy(), interim.as_bytes()), too_long);
    let largest = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(16_384 - 24));
    assert_opens_once(largest.as_bytes());
    let fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(2_000));
    assert_opens_once(fields.as_bytes());
}

#[track_caller]
fn assert_opens_once(answer: &[u8]) {
    let (_, left) = Scripted::new(answer, usize::MAX)
        .open(&proxy(), HOST)
        .unwrap();
    assert!(left.is_empty());
}

#[test]
fn what_the_proxy_says_is_shown_in_part_and_without_control_characters() {
    let reason = format!("HTTP/1.1 500 a\tb{}\r\n\r\n", "c".repeat(1_000));
    let failure = failure(&proxy(), reason.as_bytes());
    let shown = format!("it answered 500 ab{}: ", "c".repeat(62));
    assert!(failure.starts_with(&shown), "{failure}");
}

#[test]
fn a_reset_is_a_close_and_any_other_error_is_told() {
    let answer = b"HTTP/1.1 200 OK\r\n";
    for (kind, shown) in [
        (io::ErrorKind::ConnectionReset, "it closed the connection"),
        (
            io::ErrorKind::NetworkUnreachable,
            "the connection broke: network unreachable",
        ),
    ] {
        let error = Scripted::failing(answer, kind)
            .open(&proxy(), HOST)
            .unwrap_err();
        assert!(error.to_string().starts_with(shown), "{error}");
    }
}

proptest! {
    #[test]
    fn any_answer_ends_the_same_in_any_split(
        begins_well in any::<bool>(),
        answer in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), any::<u8>()], 0..200),
        fragment in 1_usize..40,
    ) {
        let start: &[u8] = if begins_well { b"HTTP/1.1 2" } else { b"" };
        let answer = [start, &answer].concat();
        let open = |fragment| match Scripted::new(&answer, fragment).open(&proxy(), HOST) {
            Ok((_, left)) => Ok(left),
            Err(ProxyError::Broken(error)) => panic!("{error}"),
            Err(error) => Err(error.to_string()),
        };
        prop_assert_eq!(open(fragment), open(usize::MAX));
    }
}
