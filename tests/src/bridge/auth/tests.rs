//! Valid tokens, and each way in which a token can be invalid.

use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use super::super::tests::packets::{signed, token};
use super::super::tests::{
    ES256_OTHER_PRIVATE, ES256_OTHER_PUBLIC, ES256_PRIVATE, ES256_PUBLIC, RS256_PRIVATE,
    RS256_PUBLIC, START,
};
use super::*;

fn keys(pems: &[&str]) -> Vec<PublicKey> {
    pems.iter()
        .map(|pem| PublicKey::from_pem(pem).unwrap())
        .collect()
}

fn verdict(token: &str) -> Result<u64, TokenError> {
    check(token, &keys(&[ES256_PUBLIC]), "my-project", START)
}

fn lasting(iat: u64, exp: u64) -> Result<u64, TokenError> {
    verdict(&token(iat, exp, "my-project", ES256_PRIVATE))
}

/// Checks a token with modified claims.
fn claiming(change: impl FnOnce(&mut Value)) -> Result<u64, TokenError> {
    let mut claims = json!({ "iat": START, "exp": START + 60, "aud": "my-project" });
    change(&mut claims);
    verdict(&signed(
        &json!({ "alg": "ES256", "typ": "JWT" }),
        &claims,
        ES256_PRIVATE,
    ))
}

fn problem(verdict: Result<u64, TokenError>) -> String {
    match verdict {
        Err(TokenError::Form { problem }) => problem,
        other => panic!("{other:?} is not about the form"),
    }
}

#[test]
fn es256_and_rs256_are_verified_by_keys_and_certificates() {
    for (private, public) in [
        (ES256_PRIVATE, ES256_PUBLIC),
        (
            ES256_PRIVATE,
            include_str!("../../../fixtures/es256_certificate.pem"),
        ),
        (RS256_PRIVATE, RS256_PUBLIC),
        (
            RS256_PRIVATE,
            include_str!("../../../fixtures/rs256_certificate.pem"),
        ),
    ] {
        let token = token(START, START + 60, "my-project", private);
        assert_eq!(
            check(&token, &keys(&[public]), "my-project", START),
            Ok(START + 60)
        );
    }
}

#[test]
fn any_of_a_devices_keys_may_match() {
    let all = keys(&[RS256_PUBLIC, ES256_OTHER_PUBLIC, ES256_PUBLIC]);
    for private in [ES256_PRIVATE, ES256_OTHER_PRIVATE, RS256_PRIVATE] {
        let token = token(START, START + 60, "my-project", private);
        assert_eq!(check(&token, &all, "my-project", START), Ok(START + 60));
        assert_eq!(
            check(&token, &[], "my-project", START),
            Err(TokenError::NoKey)
        );
    }
}

#[test]
fn a_key_is_valid_until_it_expires() {
    let token = token(START, START + 60, "my-project", ES256_PRIVATE);
    let key = |expires| [PublicKey::from_pem(ES256_PUBLIC).unwrap().expiring(expires)];
    assert!(check(&token, &key(START + 1), "my-project", START).is_ok());
    assert_eq!(
        check(&token, &key(START), "my-project", START),
        Err(TokenError::NoKey)
    );
}

#[test]
fn another_keys_signature_is_none() {
    let forged = token(START, START + 60, "my-project", ES256_OTHER_PRIVATE);
    assert_eq!(verdict(&forged), Err(TokenError::Signature));
    let wrong_kind = token(START, START + 60, "my-project", RS256_PRIVATE);
    assert_eq!(verdict(&wrong_kind), Err(TokenError::Signature));
    let good = token(START, START + 60, "my-project", ES256_PRIVATE);
    let longer = token(START, START + 90, "my-project", ES256_PRIVATE);
    let (claims, _) = longer.rsplit_once('.').unwrap();
    let (_, signature) = good.rsplit_once('.').unwrap();
    assert_eq!(
        verdict(&format!("{claims}.{signature}")),
        Err(TokenError::Signature)
    );
}

#[test]
fn a_token_is_valid_from_ten_minutes_early_to_ten_minutes_late() {
    assert!(lasting(START + 600, START + 700).is_ok());
    let ahead = 601;
    assert_eq!(
        lasting(START + 601, START + 700),
        Err(TokenError::IssuedInFuture { ahead })
    );
    assert!(lasting(START - 1000, START - 599).is_ok());
    let since = 600;
    assert_eq!(
        lasting(START - 1000, START - 600),
        Err(TokenError::Expired { since })
    );
    assert!(matches!(lasting(0, 3600), Err(TokenError::Expired { .. })));
}

#[test]
fn a_token_is_valid_for_a_day_and_the_skew_at_most() {
    assert!(lasting(START, START + 86_400 + 600).is_ok());
    let (iat, exp) = (START, START + 86_400 + 601);
    assert_eq!(lasting(iat, exp), Err(TokenError::Lifetime { iat, exp }));
    let (iat, exp) = (START + 1, START);
    assert_eq!(lasting(iat, exp), Err(TokenError::Lifetime { iat, exp }));
    assert!(matches!(
        lasting(START, u64::MAX),
        Err(TokenError::Lifetime { .. })
    ));
}

#[test]
fn the_audience_is_the_project_as_one_string() {
    let other = claiming(|claims| claims["aud"] = json!("other"));
    assert!(
        matches!(other, Err(TokenError::Audience { .. })),
        "{other:?}"
    );
    let array = problem(claiming(|claims| claims["aud"] = json!(["my-project"])));
    assert!(array.contains("expected a string"), "{array}");
    let missing = problem(claiming(|claims| {
        claims.as_object_mut().unwrap().remove("aud");
    }));
    assert!(missing.contains("missing field `aud`"), "{missing}");
}

#[test]
fn nbf_and_unknown_claims_are_ignored() {
    let verdict = claiming(|claims| {
        claims["nbf"] = json!(START + 1_000_000);
        claims["sk"] = json!("x");
    });
    assert_eq!(verdict, Ok(START + 60));
}

#[test]
fn no_other_algorithm_counts() {
    let claims = json!({ "iat": START, "exp": START + 60, "aud": "my-project" });
    for alg in ["none", "HS256", "ES384", "RS512", "es256"] {
        let header = json!({ "alg": alg, "typ": "JWT" });
        let alg = alg.to_owned();
        let token = signed(&header, &claims, ES256_PRIVATE);
        assert_eq!(verdict(&token), Err(TokenError::Algorithm { alg }));
    }
    // The public key used as an HMAC secret, a classic attack.
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let token = signed(&header, &claims, ES256_PRIVATE);
    let (message, _) = token.rsplit_once('.').unwrap();
    let secret = jsonwebtoken::EncodingKey::from_secret(ES256_PUBLIC.as_bytes());
    let hmac =
        jsonwebtoken::crypto::sign(message.as_bytes(), &secret, jsonwebtoken::Algorithm::HS256);
    let confused = format!("{message}.{}", hmac.unwrap());
    assert!(matches!(
        verdict(&confused),
        Err(TokenError::Algorithm { .. })
    ));
    let typ = signed(
        &json!({ "alg": "ES256", "typ": "JOSE" }),
        &claims,
        ES256_PRIVATE,
    );
    assert!(problem(verdict(&typ)).contains("typ"));
}

#[test]
fn padding_and_the_other_alphabet_are_refused() {
    let good = token(START, START + 60, "my-project", ES256_PRIVATE);
    let parts: Vec<&str> = good.split('.').collect();
    assert!(problem(verdict(&format!("{good}=="))).contains("signature"));
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    // Spaces do not change the claims, but make the part's length one that requires padding.
    let spaces = vec![b' '; 1 + (3 - claims.len() % 3)];
    let padded = URL_SAFE.encode([claims, spaces].concat());
    assert!(padded.ends_with('='));
    let message = format!("{}.{padded}", parts[0]);
    assert!(problem(verdict(&format!("{message}.{}", parts[2]))).contains("claims"));
    let plus = format!("{}.{}.+{}", parts[0], parts[1], &parts[2][1..]);
    assert!(problem(verdict(&plus)).contains("signature"));
}

#[test]
fn a_token_has_three_parts_of_json() {
    for text in ["", "a", "a.b", "..", "a.b.c.d", "bm8.bm8.bm8", "!.!.!"] {
        problem(verdict(text));
    }
}

#[test]
fn an_invalid_public_key_is_refused_with_the_reason() {
    let key = |pem| PublicKey::from_pem(pem).map(|key| key.algorithm());
    assert_eq!(key("MFkw"), Err(KeyError::NotPem));
    assert_eq!(key(""), Err(KeyError::NotPem));
    assert_eq!(key(ES256_PRIVATE), Err(KeyError::Private));
    assert_eq!(
        key(include_str!("../../../fixtures/p384_public.pem")),
        Err(KeyError::Curve)
    );
    let other = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    assert_eq!(key(other), Err(KeyError::Unsupported));
    assert_eq!(key(ES256_PUBLIC), Ok(Algorithm::Es256));
    assert_eq!(key(RS256_PUBLIC), Ok(Algorithm::Rs256));
}
