//! Matches hosts with the list of those that are reached without a proxy.

use core::net::IpAddr;

/// Returns whether a list, as in the variable `NO_PROXY`, names the host.
pub(super) fn lists(list: &str, host: &str) -> bool {
    let items = list.split(|c: char| c == ',' || c.is_whitespace());
    let mut items = items.filter(|item| !item.is_empty());
    match host.parse() {
        Ok(address) => items.any(|item| item == "*" || covers(item, address)),
        Err(_) => items.any(|item| item == "*" || contains(item, host)),
    }
}

/// Returns whether a domain, with or without a leading dot, is this name or contains it.
fn contains(domain: &str, name: &str) -> bool {
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let domain = domain.strip_suffix('.').unwrap_or(domain).as_bytes();
    let name = name.strip_suffix('.').unwrap_or(name).as_bytes();
    let Some((rest, end)) = name.split_at_checked(name.len().wrapping_sub(domain.len())) else {
        return false;
    };
    !domain.is_empty() && end.eq_ignore_ascii_case(domain) && matches!(rest, [] | [.., b'.'])
}

/// Returns whether an address, or a range of them such as `10.0.0.0/8`, has this address.
fn covers(item: &str, address: IpAddr) -> bool {
    let (base, bits) = match item.split_once('/') {
        Some((base, bits)) => (base, Some(bits)),
        None => (item, None),
    };
    let base = base
        .strip_prefix('[')
        .and_then(|base| base.strip_suffix(']'))
        .unwrap_or(base);
    let (difference, width) = match (base.parse(), address) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address)) => {
            // As the upper bits of the wider type.
            (u128::from(base.to_bits() ^ address.to_bits()) << 96, 32)
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(address)) => (base.to_bits() ^ address.to_bits(), 128),
        _ => return false,
    };
    match bits.map(str::parse) {
        None => difference == 0,
        Some(Ok(bits)) if bits <= width => difference.leading_zeros() >= bits,
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_hosts_domains_addresses_and_ranges() {
        for (list, host) in [
            ("*", "mqtt.example.org"),
            ("localhost, *", "10.0.0.1"),
            ("mqtt.example.org", "MQTT.example.ORG"),
            ("example.org", "mqtt.example.org"),
            (".example.org", "mqtt.example.org"),
            (".example.org", "example.org"),
            ("example.org.", "mqtt.example.org"),
            ("example.org", "mqtt.example.org."),
            ("other.example  example.org", "mqtt.example.org"),
            (",,other.example,example.org,", "example.org"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.0/8", "10.200.3.4"),
            ("10.0.0.1/32", "10.0.0.1"),
            ("192.168.4.0/22", "192.168.7.255"),
            ("0.0.0.0/0", "10.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "0:0::1"),
            ("fd00::/8", "fdff::7"),
            ("::/0", "fdff::7"),
        ] {
            assert!(lists(list, host), "{list:?} does not name {host}");
        }
    }

    #[test]
    fn a_list_names_nothing_else() {
        for (list, host) in [
            ("", "example.org"),
            (" , ", "example.org"),
            (".", "example.org"),
            ("example.org", "notexample.org"),
            ("example.org", "example.org.evil.example"),
            ("mqtt.example.org", "example.org"),
            ("*.example.org", "mqtt.example.org"),
            ("org.example", "mqtt.example.org"),
            ("é.example", "e.example"),
            ("0.0.1", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.10"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.0.0.1/33", "10.0.0.1"),
            ("10.0.0.0/-1", "10.0.0.1"),
            ("10.0.0.0/", "10.0.0.1"),
            ("192.168.4.0/22", "192.168.8.0"),
            ("10.0.0.0/8", "mqtt.10.0.0.0.example"),
            ("::/0", "10.0.0.1"),
            ("0.0.0.0/0", "::1"),
            ("fd00::/129", "fd00::"),
            ("10.0.0.1", "mqtt.example.org"),
        ] {
            assert!(!lists(list, host), "{list:?} names {host}");
        }
    }
}
