//! Parses the URL of a proxy.

use percent_encoding::percent_decode_str;

use super::{InvalidProxy, Protocol, Proxy};

/// The ports that most clients use when the URL has none.
const HTTP_PORT: u16 = 80;
const SOCKS5_PORT: u16 = 1_080;

/// Parses a URL, which needs no scheme if it is `http`.
pub(super) fn parse(url: &str) -> Result<Proxy, InvalidProxy> {
    let (protocol, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (protocol(scheme)?, rest),
        None => (Protocol::Http, url),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(InvalidProxy::Path);
    }
    let (user_info, address) = match authority.rsplit_once('@') {
        Some((user_info, address)) => (Some(user_info), address),
        None => (None, authority),
    };
    let (host, port) = split_port(address)?;
    let default_port = match protocol {
        Protocol::Http => HTTP_PORT,
        Protocol::Socks5 => SOCKS5_PORT,
    };
    let proxy = Proxy::new(protocol, host.to_owned(), port.unwrap_or(default_port))?;
    match user_info {
        Some(user_info) => with_credentials(proxy, user_info),
        None => Ok(proxy),
    }
}

fn protocol(scheme: &str) -> Result<Protocol, InvalidProxy> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok(Protocol::Http),
        "socks5" | "socks5h" => Ok(Protocol::Socks5),
        _ => Err(InvalidProxy::Scheme),
    }
}

/// Returns the host without brackets, and the port if there is one.
fn split_port(address: &str) -> Result<(&str, Option<u16>), InvalidProxy> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(InvalidProxy::Host)?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or(InvalidProxy::Port)?),
            };
            if !host.contains(':') {
                return Err(InvalidProxy::Host);
            }
            (host, port)
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let Some(port) = port.filter(|port| !port.is_empty()) else {
        return Ok((host, None));
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if is_number => Ok((host, Some(port))),
        _ => Err(InvalidProxy::Port),
    }
}

fn with_credentials(proxy: Proxy, user_info: &str) -> Result<Proxy, InvalidProxy> {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let user = percent_decode_str(user).decode_utf8();
    let password = percent_decode_str(password).decode_utf8();
    proxy.credentials(
        user.map_err(|_| InvalidProxy::User)?,
        password.map_err(|_| InvalidProxy::Password)?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_protocol_host_port_and_credentials() {
        let http = |host: &str, port| Proxy::http(host, port).unwrap();
        let socks5 = |host: &str, port| Proxy::socks5(host, port).unwrap();
        for (url, proxy) in [
            ("http://proxy.example:3128", http("proxy.example", 3_128)),
            ("HTTP://proxy.example:3128/", http("proxy.example", 3_128)),
            ("proxy.example:3128", http("proxy.example", 3_128)),
            ("proxy.example", http("proxy.example", 80)),
            ("http://proxy.example:", http("proxy.example", 80)),
            ("http://10.0.0.1", http("10.0.0.1", 80)),
            ("http://[fe80::1]:8080", http("fe80::1", 8_080)),
            ("socks5://my_proxy", socks5("my_proxy", 1_080)),
            ("socks5h://[::1]", socks5("::1", 1_080)),
            (
                "http://plant:secret@proxy.example",
                http("proxy.example", 80)
                    .credentials("plant", "secret")
                    .unwrap(),
            ),
            (
                "socks5://plant@proxy.example:9",
                socks5("proxy.example", 9).credentials("plant", "").unwrap(),
            ),
            (
                "http://pl%40nt:a:b%2F%25%C3%A9@[::1]:1",
                http("::1", 1).credentials("pl@nt", "a:b/%é").unwrap(),
            ),
            (
                "http://plant:p@ss@proxy.example",
                http("proxy.example", 80)
                    .credentials("plant", "p@ss")
                    .unwrap(),
            ),
        ] {
            // Compared without `assert_eq`, whose message would not show the credentials.
            let parsed = url.parse::<Proxy>().unwrap();
            assert!(parsed == proxy, "{url}: {parsed:?}");
        }
    }

    #[test]
    fn an_invalid_url_is_refused_with_what_it_must_be() {
        use InvalidProxy::{Host, Password, Path, Port, Scheme, User};
        let long = "x".repeat(256);
        for (url, error) in [
            ("", Host),
            ("http://", Host),
            ("http://a b", Host),
            ("http://::1:80", Port),
            ("http://[::1", Host),
            ("http://[proxy.example]:80", Host),
            ("http://[::1]80", Port),
            ("http://proxy.example:0", Port),
            ("http://proxy.example:65536", Port),
            ("http://proxy.example:+80", Port),
            ("http://proxy.example:http", Port),
            ("http://proxy.example/proxy.pac", Path),
            ("http://plant:a/b@proxy.example", Path),
            ("http://plant:a?@proxy.example", Path),
            ("http://plant:a#@proxy.example", Path),
            ("https://proxy.example", Scheme),
            ("socks4a://proxy.example", Scheme),
            ("pac+http://proxy.example/x", Scheme),
            ("plant:secret://@proxy.example", Scheme),
            ("http://:secret@proxy.example", User),
            ("http://%FF:secret@proxy.example", User),
            ("http://pl%3Ant:secret@proxy.example", User),
            ("http://plant%0D%0A:secret@proxy.example", User),
            ("http://plant:%FF@proxy.example", Password),
            ("http://plant:a%0Ab@proxy.example", Password),
            (&format!("socks5://{long}:a@proxy.example"), User),
            (&format!("socks5://plant:{long}@proxy.example"), Password),
        ] {
            let refused = url.parse::<Proxy>();
            assert_eq!(refused, Err(error), "{url}");
        }
        let long = format!("http://plant:{long}@proxy.example");
        assert!(long.parse::<Proxy>().is_ok(), "HTTP has no such limit");
    }

    #[test]
    fn neither_a_proxy_nor_what_is_wrong_with_one_shows_its_credentials() {
        let proxy: Proxy = "http://plant:secret@[::1]:3128".parse().unwrap();
        assert_eq!(proxy.to_string(), "http://[::1]:3128");
        let debug = format!("{proxy:?}");
        assert_eq!(
            debug,
            "Proxy { url: http://[::1]:3128, has_credentials: true }"
        );
        for url in [
            "secret://plant:secret@proxy.example",
            "plant:secret://secret@proxy.example",
            "http://plant:secret/secret@proxy.example",
            "http://plant:secret@secret secret",
            "http://plant:secret@proxy.example:secret",
            "http://plant:%FFsecret@proxy.example",
            "secret:plant:secret",
        ] {
            let error = url.parse::<Proxy>().unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("secret"), "{url}: {shown}");
        }
    }
}
