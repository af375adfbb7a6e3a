//! Shapes, cuts and bounds.

use proptest::prelude::*;

use super::*;

fn known() -> Rules {
    Rules::new(true, &[]).expect("the known shapes are good")
}

fn masked(rules: &Rules, text: &str) -> String {
    String::from_utf8(rules.mask(text.as_bytes()).0).expect("text stays text")
}

/// Masks a text that comes in pieces of this size.
fn in_pieces(rules: &Rules, text: &[u8], piece: usize) -> Vec<u8> {
    let mut masker = rules.begin();
    let mut out = Vec::new();
    for piece in text.chunks(piece) {
        masker.push(piece, &mut out);
    }
    masker.finish(&mut out);
    out
}

const SECRETS: &[&str] = &[
    "glpat-AbCdEfGhIjKlMnOpQrSt",
    "glpat-AbCdEfGhIjKlMnOpQrStUv.01.0w1a2b3c4",
    "glrt-t1_AbCdEfGhIjKlMnOpQrSt",
    "gldt-AbCdEfGhIjKlMnOpQrSt",
    "glcbt-64_AbCdEfGhIjKlMnOpQrSt",
    "glptt-0123456789abcdef0123456789abcdef01234567",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_11AAAAAAA0aaaaaaaaaaaa_bbbbbbbbbb",
    "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    "xoxb-0123456789-abcdefghij",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9",
    "npm_0123456789abcdefghijABCDEFGHIJ012345",
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
];

#[test]
fn every_known_shape_is_masked_and_what_stands_beside_it_is_not() {
    for secret in SECRETS {
        let text = format!("export TOKEN='{secret}' # for 'ci'\n");
        assert_eq!(masked(&known(), &text), "export TOKEN='[MASKED]' # for 'ci'\n", "{secret}");
    }
    for harmless in
        ["glpat-short", "myglpat-AbCdEfGhIjKlMnOpQrSt", "AKIA is a prefix", "eyJ.eyJ.x", "commit 0123456789abcdef", ""]
    {
        assert_eq!(masked(&known(), harmless), harmless);
    }
}

#[test]
fn a_private_key_is_masked_to_its_end_whatever_stands_before_its_lines() {
    let body = "2026-11-24T10:00:00.000000Z 01O MIIEpAIBAAKCAQEA0123456789\n".repeat(30);
    for kind in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
        let text =
            format!("$ cat key\n-----BEGIN {kind}PRIVATE KEY-----\n{body}-----END {kind}PRIVATE KEY-----\n$ true\n");
        assert_eq!(masked(&known(), &text), "$ cat key\n[MASKED]\n$ true\n");
    }
    let never_ends = format!("-----BEGIN PRIVATE KEY-----\n{}the rest of a long log\n", "x\n".repeat(20_000));
    let text = masked(&known(), &never_ends);
    assert!(text.starts_with("[MASKED]") && text.ends_with("the rest of a long log\n"), "{} bytes", text.len());
}

#[test]
fn own_expressions_are_masked_beside_the_known_shapes() {
    let rules = Rules::new(true, &["secret-[0-9]{4}".to_owned(), r"(?i)password=\S+".to_owned()]).expect("good");
    let text = "a secret-1234 b PassWord=hunter2 c glpat-AbCdEfGhIjKlMnOpQrSt d secret-12";
    assert_eq!(masked(&rules, text), "a [MASKED] b [MASKED] c [MASKED] d secret-12");
    let only_own = Rules::new(false, &["secret-[0-9]{4}".to_owned()]).expect("good");
    assert_eq!(masked(&only_own, "glpat-AbCdEfGhIjKlMnOpQrSt"), "glpat-AbCdEfGhIjKlMnOpQrSt");
    for bad in ["(", "a*", "", "x{100000000}"] {
        assert!(check(bad).is_err(), "{bad}");
    }
}

#[test]
fn little_of_a_text_waits_to_be_handed_on() {
    let (mut masker, mut out) = (known().begin(), Vec::new());
    let mut pushed = 0;
    for piece in b"no secret at all\n".repeat(100_000).chunks(50_000) {
        pushed += piece.len();
        masker.push(piece, &mut out);
        assert!(pushed - out.len() <= 64 * 1024 + LONGEST, "{} of {pushed} bytes", out.len());
    }
}

#[test]
fn a_match_that_is_too_long_is_masked_to_the_next_blank() {
    let token = format!("glpat-{}", "a".repeat(300_000));
    let text = format!("{}{token} and on\n", "log\n".repeat(1000));
    for piece in [1000, 65_536, text.len()] {
        let out = in_pieces(&known(), text.as_bytes(), piece);
        assert_eq!(out, format!("{}[MASKED] and on\n", "log\n".repeat(1000)).into_bytes(), "{piece}");
    }
}

#[test]
fn json_stays_json_and_only_its_strings_change() {
    let text = r#"{"b":"x glpat-AbCdEfGhIjKlMnOpQrSt","a":[1,{"k":"-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n"}],"n":1.50}"#;
    let (out, count) = known().mask_json(text).expect("it has secrets");
    assert_eq!((out.as_str(), count), (r#"{"b":"x [MASKED]","a":[1,{"k":"[MASKED]\n"}],"n":1.5}"#, 2));
    assert_eq!(known().mask_json(r#"{"a":"b\n"}"#), None);
    // What is not read as JSON is masked as the text that it is.
    let deep = format!("{}\"glpat-AbCdEfGhIjKlMnOpQrSt\"{}", "[".repeat(200), "]".repeat(200));
    for text in ["no JSON glpat-AbCdEfGhIjKlMnOpQrSt", r#"["\ud800 glpat-AbCdEfGhIjKlMnOpQrSt"]"#, &deep] {
        let (out, count) = known().mask_json(text).expect("it has a secret");
        assert_eq!((out, count), (text.replace("glpat-AbCdEfGhIjKlMnOpQrSt", "[MASKED]"), 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn it_does_not_matter_where_a_text_is_cut(
        parts in proptest::collection::vec((0..SECRETS.len(), 0_usize..40_000), 1..8),
        piece in 1_usize..100_000,
    ) {
        let (mut text, mut expected) = (String::new(), String::new());
        for (secret, padding) in parts {
            let padding = "some line of a log\n".repeat(padding / 19);
            text.push_str(&format!("{padding}{}\n", SECRETS[secret]));
            expected.push_str(&format!("{padding}[MASKED]\n"));
        }
        let out = in_pieces(&known(), text.as_bytes(), piece);
        prop_assert!(out == expected.as_bytes());
    }
}
