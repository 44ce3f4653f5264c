//! Which proxy the command line and the environment set.

use crate::{
    child::Relay,
    cloud::{CLOSED_PORT, Cloud},
};

/// Runs a relay that connects once, and returns whether it went to the proxy, which cannot be reached.
fn goes_to_proxy(cloud: &Cloud, more: &[&str], environment: &[(&str, &str)]) -> bool {
    let mut options = cloud.options(more);
    options.push("--no-reconnect".to_owned());
    let mut relay = Relay::start_unread(&options, environment);
    relay.read();
    let first = relay.next().unwrap();
    if first["event"] == "connected" {
        relay.close().assert_closed(0);
        return false;
    }
    assert_eq!(first["reason"], "proxy_failed", "{first}");
    let detail = first["detail"].as_str().unwrap();
    assert!(detail.contains("the proxy cannot be reached: "), "{detail}");
    assert!(detail.contains("NO_PROXY and --proxy none"), "{detail}");
    true
}

#[test]
fn the_proxy_is_the_given_one_or_else_that_of_the_environment_unless_it_lists_the_host() {
    let cloud = Cloud::tls();
    let unreachable = format!("http://127.0.0.1:{CLOSED_PORT}");
    let url = unreachable.as_str();
    let goes =
        |more: &[&str], environment: &[(&str, &str)]| goes_to_proxy(&cloud, more, environment);
    assert!(!goes(&[], &[]));
    assert!(goes(&["--proxy", url], &[]));
    assert!(goes(&["--proxy", url], &[("NO_PROXY", "*")]));
    assert!(goes(&[], &[("IOTCORE_PROXY", url)]));
    assert!(goes(&[], &[("IOTCORE_PROXY", url), ("NO_PROXY", "*")]));
    for variable in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        assert!(goes(&[], &[(variable, url)]), "{variable}");
        for no_proxy in ["no_proxy", "NO_PROXY"] {
            let listed = [(variable, url), (no_proxy, "localhost,127.0.0.0/8")];
            assert!(!goes(&[], &listed), "{variable}, {no_proxy}");
        }
        let other = [(variable, url), ("NO_PROXY", "localhost,127.0.0.2")];
        assert!(goes(&[], &other), "{variable}");
        assert!(
            !goes(&["--proxy", "none"], &[(variable, url)]),
            "{variable}"
        );
    }
    assert!(!goes(
        &[],
        &[("HTTPS_PROXY", url), ("IOTCORE_PROXY", "none")]
    ));
    assert!(!goes(&[], &[("http_proxy", url), ("HTTP_PROXY", url)]));
}

#[test]
fn without_tls_the_environment_sets_no_proxy() {
    let cloud = Cloud::plain();
    let url = format!("http://127.0.0.1:{CLOSED_PORT}");
    assert!(!goes_to_proxy(&cloud, &[], &[("HTTPS_PROXY", &url)]));
}

#[test]
fn an_unusable_proxy_ends_with_exit_code_2_and_is_not_repeated() {
    let (plain, tls) = (Cloud::plain(), Cloud::tls());
    let option = |url: &'static str| (tls.options(&["--proxy", url]), vec![]);
    let variable = |name, url| (tls.options(&[]), vec![(name, url)]);
    for ((options, environment), part) in [
        (
            option("https://plant:secret@proxy.example"),
            "--proxy: the proxy's URL must be",
        ),
        (
            option("plant:secret@proxy.example:secret"),
            "--proxy: the proxy's port",
        ),
        (option(""), "--proxy: the proxy's host"),
        (
            variable("HTTPS_PROXY", "http://plant:sec/ret@proxy.example"),
            "HTTPS_PROXY: the proxy's URL must end after the port",
        ),
        (
            variable("all_proxy", "socks4://plant:secret@proxy.example"),
            "give --proxy to ignore the variable, or --proxy none",
        ),
        (
            (plain.options(&["--proxy", "http://127.0.0.1:3128"]), vec![]),
            "--plain with --proxy: without TLS nothing goes through a proxy",
        ),
    ] {
        let end = Relay::start_unread(&options, &environment).wait();
        assert_eq!(end.code, Some(2), "{part}");
        assert!(
            end.stderr.contains(part),
            "{part:?} is not in {}",
            end.stderr
        );
        assert!(
            !end.stderr.contains("sec") && end.events.is_empty(),
            "{}",
            end.stderr
        );
    }
}
