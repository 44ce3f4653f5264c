//! SOCKS5 proxies.

use proptest::prelude::*;

use super::scripted::{Scripted, assert_opens, failure};
use crate::driver::proxy::{Proxy, ProxyError};

const HOST: &str = "mqtt.example.org";

/// The offer of no authentication, and the request for port 8883 of the host.
const REQUEST: &[u8] = b"\x05\x01\x00\x05\x01\x00\x03\x10mqtt.example.org\x22\xb3";

/// The choice of no authentication.
const CHOICE: &[u8] = &[5, 0];

fn proxy() -> Proxy {
    Proxy::socks5("proxy.example", 1_080).unwrap()
}

fn with_credentials() -> Proxy {
    proxy().credentials("plant", "secret").unwrap()
}

/// Returns an answer to the request.
fn reply(code: u8, address: &[u8]) -> Vec<u8> {
    [&[5, code, 0], address, &[0, 80]].concat()
}

#[test]
fn a_success_opens_the_tunnel_whatever_address_the_proxy_names() {
    for address in [
        &[1, 127, 0, 0, 1][..],
        &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        b"\x03\x05plant",
        b"\x03\x02\xff\xff",
        b"\x03\x00",
    ] {
        let answer = [CHOICE, &reply(0, address)].concat();
        assert_opens(&proxy(), HOST, &answer, REQUEST);
    }
    let longest = [&[3, 255][..], &[b'x'; 255]].concat();
    let answer = [CHOICE, &reply(0, &longest)].concat();
    assert_opens(&proxy(), HOST, &answer, REQUEST);
}

#[test]
fn an_address_is_sent_as_one() {
    let answer = [CHOICE, &reply(0, &[1, 0, 0, 0, 0])].concat();
    let v4 = b"\x05\x01\x00\x05\x01\x00\x01\x0a\x00\x00\x07\x22\xb3";
    assert_opens(&proxy(), "10.0.0.7", &answer, v4);
    let v6 = b"\x05\x01\x00\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x22\xb3";
    assert_opens(&proxy(), "::1", &answer, v6);
}

#[test]
fn credentials_are_offered_and_sent_if_the_proxy_chooses_them() {
    let success = reply(0, &[1, 0, 0, 0, 0]);
    let request = &REQUEST[3..];
    let offer = &[5, 2, 0, 2][..];
    let password = b"\x01\x05plant\x06secret";
    let sent = [offer, password, request].concat();
    let with_version_of_socks = [&[5, 2, 5, 0][..], &success].concat();
    assert_opens(&with_credentials(), HOST, &with_version_of_socks, &sent);
    let chosen = [&[5, 2, 1, 0][..], &success].concat();
    assert_opens(&with_credentials(), HOST, &chosen, &sent);
    let not_chosen = [CHOICE, &success].concat();
    let sent = [offer, request].concat();
    assert_opens(&with_credentials(), HOST, &not_chosen, &sent);
    let longest = "x".repeat(255);
    let proxy = proxy().credentials(&longest, "").unwrap();
    let sent = [offer, &[1, 255], longest.as_bytes(), &[0], request].concat();
    assert_opens(&proxy, HOST, &chosen, &sent);
}

#[test]
fn a_demand_for_authentication_says_which_part_is_missing() {
    let required = "it requires authentication: give a user name and a password";
    assert_eq!(failure(&proxy(), &[5, 0xff]), required);
    assert_eq!(failure(&proxy(), &[5, 2]), required);
    let unsupported = "it requires an authentication that is not supported";
    assert!(failure(&with_credentials(), &[5, 0xff]).starts_with(unsupported));
    for status in [1, 0xff] {
        let refused = "it refused the user name or the password: check both";
        assert_eq!(failure(&with_credentials(), &[5, 2, 1, status]), refused);
    }
}

#[test]
fn each_reply_code_has_its_own_sentence_and_the_rest_of_the_answer_is_not_needed() {
    let mut sentences = Vec::new();
    for (code, part) in [
        (1, "it failed"),
        (2, "its rules do not allow this host or port"),
        (3, "no route"),
        (4, "it could not reach the host"),
        (5, "the host refused its connection"),
        (6, "too many hops"),
        (7, "let it allow the command CONNECT"),
        (8, "this type of address"),
        (9, "a code that SOCKS5 does not define"),
    ] {
        let failure = failure(&proxy(), &[CHOICE, &[5, code]].concat());
        assert!(failure.contains(part), "{failure}");
        assert!(!sentences.contains(&failure), "{failure}");
        sentences.push(failure);
    }
    assert_eq!(failure(&proxy(), &[5, 0, 5, 0xff]), sentences[8]);
}

#[test]
fn something_other_than_socks5_is_told() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &[4, 0],
        &[0, 90],
        &[5, 1],
        &[5, 0, 4, 0],
        &[5, 0, 5, 0, 0, 2],
    ] {
        let failure = failure(&proxy(), answer);
        assert!(failure.starts_with("its answer is not SOCKS5"), "{failure}");
    }
    let failure = failure(&with_credentials(), &[5, 2, 4, 0]);
    assert!(failure.starts_with("its answer is not SOCKS5"), "{failure}");
}

#[test]
fn a_name_that_the_protocol_cannot_carry_is_refused_before_anything_is_sent() {
    let name = "x".repeat(256);
    let error = Scripted::new(&[], 1).open(&proxy(), &name).unwrap_err();
    assert!(matches!(error, ProxyError::NameTooLong(256)), "{error:?}");
}

proptest! {
    #[test]
    fn any_answer_ends_the_same_in_any_split(
        answer in prop::collection::vec(prop_oneof![Just(5), Just(0), Just(1), Just(2), any::<u8>()], 0..300),
        fragment in 1_usize..40,
        is_authenticated in any::<bool>(),
    ) {
        let proxy = if is_authenticated { with_credentials() } else { proxy() };
        let open = |fragment| match Scripted::new(&answer, fragment).open(&proxy, HOST) {
            Ok((_, left)) => Ok(left),
            Err(ProxyError::Broken(error)) => panic!("{error}"),
            Err(error) => Err(error.to_string()),
        };
        prop_assert_eq!(open(fragment), open(usize::MAX));
    }
}
