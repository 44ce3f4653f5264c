//! Proxies that answer with prepared bytes.

mod http;
mod scripted;
mod socks5;
