//! The relay behind Debian's proxies, at the emulator over TLS. `.ci/proxies` installs them; without, these tests are
//! skipped.

#[expect(dead_code, reason = "the tests of the adapters use all kinds")]
#[path = "../../../tests/adapters/proxy_program.rs"]
mod proxy_program;

use serde_json::json;

use self::proxy_program::{
    Kind::{MicrosocksWithPassword, Tinyproxy, TinyproxyWithPassword},
    ProxyProgram, USER_INFO,
};
use crate::{child::Relay, cloud::Cloud};

#[test]
fn a_relay_publishes_through_the_given_proxy_and_again_after_the_tunnel_was_cut() {
    for kind in [TinyproxyWithPassword, MicrosocksWithPassword] {
        let Some(mut program) = ProxyProgram::start(kind) else {
            return;
        };
        let cloud = Cloud::tls();
        let proxy = program.url(USER_INFO);
        let more = [
            "--proxy",
            &proxy,
            "--backoff-min",
            "10",
            "--backoff-max",
            "100",
        ];
        let mut relay = Relay::start(&cloud.options(&more));
        relay.send(json!({"op": "telemetry", "id": 1, "payload": "before"}));
        assert_eq!(relay.expect_end(1)["event"], "done");
        program.end();
        relay.expect("disconnected");
        relay.send(json!({"op": "telemetry", "id": 2, "payload": "after"}));
        assert_eq!(relay.expect("disconnected")["reason"], "proxy_failed");
        program.resume();
        assert_eq!(relay.expect_end(2)["event"], "done");
        relay.close().assert_closed(0);
        assert_eq!(cloud.telemetry("gateway-1"), [&b"before"[..], b"after"]);
    }
}

#[test]
fn a_relay_connects_through_the_proxy_of_the_environment() {
    let Some(mut program) = ProxyProgram::start(Tinyproxy) else {
        return;
    };
    let cloud = Cloud::tls();
    let url = program.url("");
    for variable in ["HTTPS_PROXY", "ALL_PROXY", "IOTCORE_PROXY"] {
        let mut relay = Relay::start_unread(&cloud.options(&[]), &[(variable, &url)]);
        relay.read();
        relay.expect("connected");
        program.end();
        relay.expect("disconnected");
        program.resume();
        relay.close().assert_closed(0);
    }
}

#[test]
fn a_wrong_password_is_told_and_not_repeated() {
    let Some(program) = ProxyProgram::start(TinyproxyWithPassword) else {
        return;
    };
    let cloud = Cloud::tls();
    let proxy = program.url("plant:other@");
    let end = Relay::start(&cloud.options(&["--proxy", &proxy, "--no-reconnect"])).wait();
    let ended = &end.events[0];
    assert_eq!(ended["reason"], "proxy_failed");
    let detail = ended["detail"].as_str().unwrap();
    let part = format!(
        "through the proxy {}: it refused the user name",
        program.url("")
    );
    assert!(detail.contains(&part), "{detail}");
    assert!(
        !detail.contains("plant") && !detail.contains("other"),
        "{detail}"
    );
    assert_eq!((end.code, end.stderr.as_str()), (Some(1), ""));
}
