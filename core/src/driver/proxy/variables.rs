//! The proxy that the variables of the environment set, as curl reads them.

use std::ffi::OsString;

use super::{InvalidProxy, Proxy, no_proxy};

/// In the order in which they are read; the first that is set counts.
const PROXY: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// Returns the proxy for connections to `host`, if the variables that `read` returns set one.
pub(super) fn proxy_for(
    host: &str,
    read: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Proxy>, InvalidProxy> {
    let Some((name, url)) = first_of(&PROXY, &read)? else {
        return Ok(None);
    };
    match first_of(&NO_PROXY, &read)? {
        Some((_, list)) if no_proxy::lists(&list, host) => Ok(None),
        _ => url
            .parse()
            .map(Some)
            .map_err(|error| in_variable(name, error)),
    }
}

/// Returns the first of these variables that is set and not empty.
fn first_of(
    names: &[&'static str],
    read: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<(&'static str, String)>, InvalidProxy> {
    for &name in names {
        if let Some(value) = read(name).filter(|value| !value.is_empty()) {
            let value = value.into_string();
            let value = value.map_err(|_| in_variable(name, InvalidProxy::NotUnicode))?;
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}

fn in_variable(name: &'static str, error: InvalidProxy) -> InvalidProxy {
    InvalidProxy::Variable(name, Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what these variables set for `mqtt.example.org`.
    fn with(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let read = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let proxy = proxy_for("mqtt.example.org", read).map_err(|error| error.to_string())?;
        Ok(proxy.map(|proxy| proxy.to_string()))
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        let all: Vec<_> = PROXY.iter().rev().map(|&name| (name, name)).collect();
        let mut variables = Vec::new();
        assert_eq!(with(&variables), Ok(None));
        for (name, _) in all {
            // The name of the variable can be a host's, too.
            variables.push((name, name));
            assert_eq!(with(&variables), Ok(Some(format!("http://{name}:80"))));
        }
        let empty = [("https_proxy", ""), ("ALL_PROXY", "socks5://proxy.example")];
        let proxy = "socks5://proxy.example:1080".to_owned();
        assert_eq!(with(&empty), Ok(Some(proxy)));
        let other = [
            ("http_proxy", "proxy.example"),
            ("HTTP_PROXY", "proxy.example"),
        ];
        assert_eq!(with(&other), Ok(None));
    }

    #[test]
    fn no_proxy_is_used_for_a_host_that_no_proxy_lists() {
        let proxy = ("HTTPS_PROXY", "proxy.example");
        let used = Ok(Some("http://proxy.example:80".to_owned()));
        assert_eq!(with(&[proxy, ("NO_PROXY", "example.org")]), Ok(None));
        assert_eq!(with(&[proxy, ("NO_PROXY", "example.com")]), used);
        let both = [
            proxy,
            ("NO_PROXY", "example.org"),
            ("no_proxy", "localhost"),
        ];
        assert_eq!(with(&both), used);
        let unused = [("HTTPS_PROXY", "https://proxy.example"), ("NO_PROXY", "*")];
        assert_eq!(with(&unused), Ok(None));
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named() {
        let error = with(&[("ALL_PROXY", "socks4://plant:secret@proxy.example")]).unwrap_err();
        let expected = "ALL_PROXY: the proxy's URL must be http://HOST:PORT or socks5://HOST:PORT";
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_unicode_is_named() {
        use std::os::unix::ffi::OsStringExt;
        let read = |name: &str| (name == "HTTPS_PROXY").then(|| OsString::from_vec(vec![0xff]));
        let error = proxy_for("mqtt.example.org", read).unwrap_err();
        assert_eq!(error.to_string(), "HTTPS_PROXY: the variable must be UTF-8");
    }
}
