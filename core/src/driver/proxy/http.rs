//! Asks an HTTP proxy for a tunnel, with CONNECT (RFC 9110, section 9.3.6).

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use super::{
    Credentials, ProxyError,
    stream::{read_exact, write_all},
};

/// Maximum size of the header of an answer, with those of interim answers before it.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Maximum number of characters of the proxy's own words in an error.
const MAX_SHOWN: usize = 64;

/// What every answer begins with.
const VERSION: &[u8] = b"HTTP/1.";

/// The header of an answer, as far as it matters.
struct Answer {
    code: u16,
    reason: String,
    /// The schemes of authentication that it demands.
    schemes: Vec<String>,
}

/// Asks for a tunnel to `host`. All that follows on the stream belongs to the tunnel.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
    port: u16,
    credentials: Option<&Credentials>,
) -> Result<(), ProxyError> {
    write_all(stream, request(host, port, credentials).as_bytes()).await?;
    let mut room = MAX_HEADER_BYTES;
    let answer = loop {
        let answer = read_answer(stream, &mut room).await?;
        // An interim answer is followed by another one. After 101 the proxy speaks some other protocol.
        if !matches!(answer.code, 100 | 102..=199) {
            break answer;
        }
    };
    match answer.code {
        200..=299 => Ok(()),
        // Tinyproxy answers 401 to a wrong password.
        401 | 407 => Err(answer.demand(credentials.is_some())),
        code => Err(ProxyError::Status {
            code,
            reason: answer.reason,
        }),
    }
}

/// Returns the request, which is wiped from memory when it is dropped.
fn request(host: &str, port: u16, credentials: Option<&Credentials>) -> Zeroizing<String> {
    let target = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let basic = credentials.map(Credentials::basic);
    let basic = basic.as_ref().map_or("", |basic| basic.as_str());
    let parts = [
        "CONNECT ",
        &target,
        " HTTP/1.1\r\nHost: ",
        &target,
        "\r\n",
        basic,
        "\r\n",
    ];
    // In its final size at once, so that no copy is left behind.
    Zeroizing::new(parts.concat())
}

impl Credentials {
    /// Returns the field for `Basic` authentication (RFC 7617).
    fn basic(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new([self.user.as_str(), ":", self.password.as_str()].concat());
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        Zeroizing::new(["Proxy-Authorization: Basic ", encoded.as_str(), "\r\n"].concat())
    }
}

/// Reads the header of an answer byte by byte, because what follows it must stay in the stream; at most `room` bytes,
/// which it takes from there.
async fn read_answer<S: AsyncRead + Unpin>(
    stream: &mut S,
    room: &mut usize,
) -> Result<Answer, ProxyError> {
    let mut header = Vec::new();
    loop {
        *room = room
            .checked_sub(1)
            .ok_or(ProxyError::HeaderTooLong(MAX_HEADER_BYTES))?;
        let mut byte = [0];
        read_exact(stream, &mut byte).await?;
        header.extend(byte);
        let begun = header.iter().zip(VERSION);
        if begun.into_iter().any(|(byte, expected)| byte != expected) {
            return Err(ProxyError::NotHttp);
        }
        // A line may end without CR (RFC 9112, section 2.2).
        if header.ends_with(b"\n\r\n") || header.ends_with(b"\n\n") {
            return parse(&header);
        }
    }
}

/// Parses a whole header.
fn parse(header: &[u8]) -> Result<Answer, ProxyError> {
    let lines = header.iter().filter(|byte| **byte == b'\n').count();
    let mut fields = vec![httparse::EMPTY_HEADER; lines];
    let mut response = httparse::Response::new(&mut fields);
    // The status alone decides whether there is a tunnel, whatever the fields are like.
    let mut parser = httparse::ParserConfig::default();
    parser
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    match parser.parse_response(&mut response, header) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(_) => return Err(ProxyError::NotHttp),
    }
    let demands = response.headers.iter();
    let names = ["Proxy-Authenticate", "WWW-Authenticate"];
    let demands = demands.filter(|field| {
        let is_named = |name: &&str| field.name.eq_ignore_ascii_case(name);
        names.iter().any(is_named)
    });
    let schemes = demands.flat_map(|field| schemes(&String::from_utf8_lossy(field.value)));
    Ok(Answer {
        code: response.code.unwrap_or_default(),
        reason: shown(response.reason.unwrap_or_default()),
        schemes: schemes.collect(),
    })
}

/// Returns the schemes in a list of challenges (RFC 9110, section 11.6.1), whose parameters are separated by commas as well.
fn schemes(challenges: &str) -> Vec<String> {
    let mut is_quoted = false;
    let elements = challenges.split(|c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    let schemes = elements.filter_map(|element| {
        let element = element.trim();
        let end = element.find(|c: char| c.is_whitespace() || c == '=');
        let (name, rest) = element.split_at(end.unwrap_or(element.len()));
        let is_parameter = rest.trim_start().starts_with('=');
        (!name.is_empty() && !is_parameter).then(|| shown(name))
    });
    schemes.collect()
}

impl Answer {
    /// Returns why the proxy demands authentication.
    fn demand(self, is_authenticated: bool) -> ProxyError {
        let is_basic = |scheme: &String| scheme.eq_ignore_ascii_case("Basic");
        if !self.schemes.is_empty() && !self.schemes.iter().any(is_basic) {
            return ProxyError::AuthenticationUnsupported(Some(shown(&self.schemes.join(", "))));
        }
        match is_authenticated {
            true => ProxyError::CredentialsRefused,
            false => ProxyError::CredentialsRequired,
        }
    }
}

/// Returns what may be shown of a text from the proxy.
fn shown(text: &str) -> String {
    let printable = text.chars().filter(|c| *c == ' ' || c.is_ascii_graphic());
    printable.take(MAX_SHOWN).collect()
}
