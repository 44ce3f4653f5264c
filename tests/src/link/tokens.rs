//! Tokens for virtual time: the same claims produce the same token, so that sessions are replayed byte for byte.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use iotcore_gateway::{
    Algorithm,
    auth::{SigningKey, Token, UnixTime},
    id::ProjectId,
};

const KEY: &[u8] = include_bytes!("rsa.key.pem");

/// The maximum number of cached tokens per thread.
const MAX_KEPT: usize = 65_536;

struct Minter {
    key: SigningKey,
    /// By project, `iat`, and lifetime in seconds. Signing takes longer than all the rest of a session.
    kept: BTreeMap<(String, u64, u64), String>,
}

thread_local! {
    static MINTER: RefCell<Minter> = RefCell::new(Minter {
        // RS256 signatures, unlike ES256 signatures, are deterministic.
        key: SigningKey::from_pem(KEY, Algorithm::Rs256).expect("a key for RS256"),
        kept: BTreeMap::new(),
    });
}

/// Returns a token issued at the current time, valid for at most 24 h.
pub(crate) fn mint(
    project: &ProjectId,
    lifetime: Duration,
    now: Instant,
    unix_now: UnixTime,
) -> Token {
    MINTER.with_borrow_mut(|Minter { key, kept }| {
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        let claims = (project.to_string(), unix_now.as_secs(), lifetime.as_secs());
        let jwt = kept.entry(claims).or_insert_with(|| {
            let token = key.token(project, lifetime, now, unix_now);
            let token = token.expect("a lifetime within the limits");
            token.expose().to_owned()
        });
        let token = Token::new(jwt.as_str(), now + lifetime).expect("a minted token is one");
        token.with_lifetime(unix_now, unix_now.saturating_add(lifetime))
    })
}
