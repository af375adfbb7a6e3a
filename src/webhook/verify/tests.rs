//! Every vector and negative case of the contract, section 2.2, and sample 12.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::{Pending, Refusal, Verifier};
use crate::domain::Timestamp;
use crate::webhook::{Config, ConfigError, SigningKey, SigningTokenError};

const TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_TOKEN: &str = "whsec_//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";
const ID: &str = "3f0c6f3e-6f0a-4a5e-9d6b-1c2d3e4f5a6b";
const AT: i64 = 1_795_392_000;
const BODY: &str =
    r#"{"object_kind":"pipeline","object_attributes":{"id":9001,"status":"success"},"project":{"id":77}}"#;
const SIGNATURE: &str = "v1,cO7VCyEM/rJzwGZsQP271Yo9T6UyOyhDEgvFtjPD7AY=";

fn verifier(tokens: &[&str], signing_tokens: &[&str], allow_unsigned: bool) -> Verifier {
    let secrets = |texts: &[&str]| texts.iter().map(|text| SecretString::from(*text)).collect();
    let config = Config {
        tokens: secrets(tokens),
        signing_tokens: secrets(signing_tokens),
        allow_unsigned,
        ..Config::default()
    };
    Verifier::build(&config).expect("usable secrets")
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"));
    }
    map
}

fn signed(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
    headers(&[("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)])
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn verify(verifier: &Verifier, headers: &HeaderMap, now: i64, body: &str) -> Result<(), Refusal> {
    let pending: Pending = verifier.headers(headers, at(now))?;
    pending.body(body.as_bytes()).map(drop)
}

#[test]
fn every_vector_of_the_contract_verifies() {
    let gitlab = STANDARD.decode(&TOKEN["whsec_".len()..]).expect("base64");
    let decode = |text: &str| STANDARD.decode(text).expect("base64");
    let vectors = [
        (
            decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (gitlab.clone(), ID, AT, BODY, SIGNATURE),
        (
            gitlab,
            "0b7c1a52-1f7e-4c4e-8f59-6a2b9d0e4c11",
            1_795_392_061,
            r#"{"object_kind":"build","build_id":55001,"build_name":"test: größe","build_status":"failed"}"#,
            "v1,v8c3z4Lez8vPhd9kN4lNJ5eAlnNCP9WJ4JLHQCmwekA=",
        ),
    ];
    for (key, id, timestamp, body, signature) in vectors {
        // Keys of the Standard Webhooks libraries are shorter than GitLab's, so they do not come in by configuration.
        let verifier = Verifier { token_digests: Vec::new(), keys: vec![SigningKey::new(&key)], allow_unsigned: false };
        let headers = signed(id, &timestamp.to_string(), signature);
        assert_eq!(verify(&verifier, &headers, timestamp, body), Ok(()), "{id}");
        assert_eq!(verify(&verifier, &headers, timestamp, &format!("{body}\n")), Err(Refusal::SignatureWrong), "{id}");
    }
}

#[test]
fn the_signed_sample_verifies_and_so_does_its_list_with_a_wrong_signature_first() {
    let body = include_str!("../../../fixtures/webhooks/12-signed-delivery.body");
    let sent = include_str!("../../../fixtures/webhooks/12-signed-delivery.headers.json");
    let sent: std::collections::HashMap<String, String> = serde_json::from_str(sent).expect("a JSON object");
    let verifier = verifier(&[], &[&sent["_signing_token"]], false);
    for signature in ["webhook-signature", "_alternative_multi_signature_header"] {
        let headers = signed(&sent["webhook-id"], &sent["webhook-timestamp"], &sent[signature]);
        assert_eq!(verify(&verifier, &headers, AT, body), Ok(()), "{signature}");
    }
}

#[test]
fn a_signature_in_any_place_and_version_list_counts_and_anything_else_does_not() {
    let verifier = verifier(&[], &[TOKEN], false);
    let wrong = "v1,c32j1/X/KCLETYXybaV2UsahWeo/Wfth+/x52gQfwVA=";
    let value = &SIGNATURE["v1,".len()..];
    let cases = [
        (SIGNATURE.to_owned(), Ok(())),
        (format!("{wrong} v1a,{value} {SIGNATURE}"), Ok(())),
        (format!("  {SIGNATURE}  "), Ok(())),
        (wrong.to_owned(), Err(Refusal::SignatureWrong)),
        (format!("v2,{value} v1a,{value}"), Err(Refusal::SignatureMalformed)),
        (value.to_owned(), Err(Refusal::SignatureMalformed)),
        ("v1,".to_owned(), Err(Refusal::SignatureMalformed)),
        (SIGNATURE[..20].to_owned(), Err(Refusal::SignatureMalformed)),
        (SIGNATURE.trim_end_matches('=').to_owned(), Err(Refusal::SignatureMalformed)),
        (String::new(), Err(Refusal::SignatureMalformed)),
        (format!("{}{SIGNATURE}", "v2,x ".repeat(16)), Err(Refusal::SignatureMalformed)),
    ];
    for (signature, expected) in cases {
        assert_eq!(verify(&verifier, &signed(ID, &AT.to_string(), &signature), AT, BODY), expected, "{signature}");
    }
    let mut two = signed(ID, &AT.to_string(), wrong);
    two.append(HeaderName::from_static("webhook-signature"), HeaderValue::from_static(SIGNATURE));
    assert_eq!(verify(&verifier, &two, AT, BODY), Ok(()), "two headers are one list");
}

#[test]
fn changed_bytes_ids_and_timestamps_do_not_verify() {
    let verifier = verifier(&[], &[TOKEN], false);
    let now = AT.to_string();
    let changed_id = ID.replace("3f0c", "3f0d");
    assert_eq!(verify(&verifier, &signed(&changed_id, &now, SIGNATURE), AT, BODY), Err(Refusal::SignatureWrong));
    let later = (AT + 1).to_string();
    assert_eq!(verify(&verifier, &signed(ID, &later, SIGNATURE), AT, BODY), Err(Refusal::SignatureWrong));
    let zero = format!("0{now}");
    assert_eq!(verify(&verifier, &signed(ID, &zero, SIGNATURE), AT, BODY), Err(Refusal::SignatureWrong));
    for bit in 0..8 {
        let mut body = BODY.as_bytes().to_vec();
        body[17] ^= 1 << bit;
        let pending = verifier.headers(&signed(ID, &now, SIGNATURE), at(AT)).expect("good headers");
        assert_eq!(pending.body(&body).map(drop), Err(Refusal::SignatureWrong));
    }
}

#[test]
fn a_timestamp_must_be_whole_seconds_and_within_five_minutes() {
    let verifier = verifier(&[], &[TOKEN], false);
    for (skew, expected) in [
        (-301, Err(Refusal::TimestampStale)),
        (-300, Ok(())),
        (300, Ok(())),
        (301, Err(Refusal::TimestampStale)),
        (i64::from(i32::MAX), Err(Refusal::TimestampStale)),
    ] {
        assert_eq!(verify(&verifier, &signed(ID, &AT.to_string(), SIGNATURE), AT + skew, BODY), expected, "{skew}");
    }
    for text in ["", "soon", "1795392000.0", "-1795392000", "+1795392000", "0x6B037A00", "99999999999999999999"] {
        let headers = signed(ID, text, SIGNATURE);
        assert_eq!(verify(&verifier, &headers, AT, BODY), Err(Refusal::TimestampMissing), "{text}");
    }
    let far = signed(ID, &i64::MAX.to_string(), SIGNATURE);
    assert_eq!(verify(&verifier, &far, AT, BODY), Err(Refusal::TimestampStale));
}

#[test]
fn each_missing_or_repeated_header_is_refused_before_the_body() {
    let verifier = verifier(&["plain"], &[TOKEN], false);
    let complete = signed(ID, &AT.to_string(), SIGNATURE);
    for (name, expected) in [
        ("webhook-id", Refusal::IdMissing),
        ("webhook-timestamp", Refusal::TimestampMissing),
        ("webhook-signature", Refusal::SignatureMissing),
    ] {
        let mut without = complete.clone();
        without.remove(name);
        without.insert(HeaderName::from_static("x-gitlab-token"), HeaderValue::from_static("plain"));
        assert_eq!(verifier.headers(&without, at(AT)).map(drop), Err(expected), "{name}");
    }
    for (name, expected) in [("webhook-id", Refusal::IdMissing), ("webhook-timestamp", Refusal::TimestampMissing)] {
        let mut twice = complete.clone();
        let value = twice.get(name).expect("present").clone();
        twice.append(HeaderName::from_static(name), value);
        assert_eq!(verifier.headers(&twice, at(AT)).map(drop), Err(expected), "{name}");
    }
    for id in ["", "a.1795392000"] {
        let headers = signed(id, &AT.to_string(), SIGNATURE);
        assert_eq!(verifier.headers(&headers, at(AT)).map(drop), Err(Refusal::IdMissing));
    }
}

#[test]
fn any_of_several_signing_tokens_verifies_during_a_rotation() {
    let headers = signed(ID, &AT.to_string(), SIGNATURE);
    assert_eq!(verify(&verifier(&[], &[OTHER_TOKEN, TOKEN], false), &headers, AT, BODY), Ok(()));
    assert_eq!(verify(&verifier(&[], &[OTHER_TOKEN], false), &headers, AT, BODY), Err(Refusal::SignatureWrong));
}

#[test]
fn secret_tokens_count_only_without_signing_tokens_or_when_unsigned_deliveries_are_allowed() {
    let token = |value: &str| headers(&[("x-gitlab-token", value)]);
    let plain = verifier(&["first", "second"], &[], false);
    assert_eq!(verify(&plain, &token("first"), AT, BODY), Ok(()));
    assert_eq!(verify(&plain, &token("second"), AT, BODY), Ok(()));
    assert_eq!(verify(&plain, &token("secon"), AT, BODY), Err(Refusal::TokenWrong));
    assert_eq!(verify(&plain, &token(""), AT, BODY), Err(Refusal::TokenWrong));
    assert_eq!(verify(&plain, &HeaderMap::new(), AT, BODY), Err(Refusal::TokenMissing));
    let twice = headers(&[("x-gitlab-token", "first"), ("x-gitlab-token", "wrong")]);
    assert_eq!(verify(&plain, &twice, AT, BODY), Err(Refusal::TokenMissing));

    let strict = verifier(&["first"], &[TOKEN], false);
    assert_eq!(verify(&strict, &token("first"), AT, BODY), Err(Refusal::SignatureMissing));

    let migrating = verifier(&["first"], &[TOKEN], true);
    assert_eq!(verify(&migrating, &token("first"), AT, BODY), Ok(()));
    assert_eq!(verify(&migrating, &token("wrong"), AT, BODY), Err(Refusal::TokenWrong));
    let mut bad = signed(ID, &AT.to_string(), "v1,c32j1/X/KCLETYXybaV2UsahWeo/Wfth+/x52gQfwVA=");
    bad.insert(HeaderName::from_static("x-gitlab-token"), HeaderValue::from_static("first"));
    assert_eq!(verify(&migrating, &bad, AT, BODY), Err(Refusal::SignatureWrong));
    bad.insert(HeaderName::from_static("webhook-signature"), HeaderValue::from_static(""));
    assert_eq!(verify(&migrating, &bad, AT, BODY), Err(Refusal::SignatureMalformed));

    let no_tokens = verifier(&[], &[TOKEN], true);
    assert_eq!(verify(&no_tokens, &token("first"), AT, BODY), Err(Refusal::SignatureMissing));
}

#[test]
fn without_any_secret_everything_is_refused() {
    let open = verifier(&[], &[], true);
    for headers in [HeaderMap::new(), headers(&[("x-gitlab-token", "")]), signed(ID, &AT.to_string(), SIGNATURE)] {
        assert_eq!(verify(&open, &headers, AT, BODY), Err(Refusal::NotConfigured));
    }
}

#[test]
fn unusable_secrets_are_all_named_by_position_and_never_quoted() {
    let short = format!("whsec_{}", STANDARD.encode([7; 31]));
    let config = Config {
        tokens: vec!["fine".into(), "".into()],
        signing_tokens: vec![TOKEN.into(), "AAECAw==".into(), "whsec_AAECAw".into(), short.as_str().into()],
        ..Config::default()
    };
    let problems = Verifier::build(&config).expect_err("four of them are unusable");
    let signing = |position, problem| ConfigError::SigningToken { position, problem };
    assert_eq!(
        problems,
        [
            ConfigError::EmptyToken { position: 2 },
            signing(2, SigningTokenError::NoPrefix),
            signing(3, SigningTokenError::NotBase64),
            signing(4, SigningTokenError::WrongLength { found: 31 }),
        ]
    );
    assert!(!format!("{problems:?} {config:?}").contains("AAECAw"));
}
