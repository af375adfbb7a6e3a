//! The configuration through its seam: made-up flags, variables and files.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;

use super::keys::{self, KEYS, Kind};
use super::*;
use crate::domain::ProjectId;
use crate::store::Place;

const FILE: &str = "cistern.toml";
const SIGNING: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What one test gives at each level.
#[derive(Default, Clone, Copy)]
struct Given<'a> {
    flags: &'a [(&'a str, &'a str)],
    variables: &'a [(&'a str, &'a str)],
    file: Option<&'a str>,
    secrets: &'a [(&'a str, &'a str)],
}

impl Given<'_> {
    fn load(self, needs: Needs) -> Result<Config, Mistakes> {
        let mut flags = Flags::default();
        for (name, text) in self.flags {
            flags.set(*name, *text);
        }
        flags.file = self.file.map(|_| PathBuf::from(FILE));
        let files = self.secrets.iter().copied().chain(self.file.map(|text| (FILE, text)));
        let files: HashMap<PathBuf, String> = files.map(|(path, text)| (path.into(), text.to_owned())).collect();
        let read = move |path: &Path| files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into());
        Config::load(&flags, &Surroundings::new(self.variables.iter().copied(), read), needs)
    }

    fn good(self) -> Config {
        self.load(Needs::Nothing).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    fn bad(self) -> String {
        self.load(Needs::Nothing).expect_err("a mistake").to_string()
    }
}

fn token(config: &Config) -> Option<&str> {
    config.gitlab.as_ref().map(|gitlab| gitlab.token.expose_secret())
}

#[test]
fn the_defaults_hold_no_mistake_and_are_those_of_the_design() {
    let config = Given::default().good();
    assert!(config.gitlab.is_none() && config.projects.includes_all());
    assert!(matches!(config.store.place, Place::Sqlite(ref path) if path == "cistern.db"));
    assert_eq!(config.store.lease, Duration::from_secs(30));
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.reconcile.audit_window, Duration::from_secs(7 * 86_400));
    let parallel = Parallel { projects: 5, pipelines: 10, jobs: 20, api_calls: 20, store_ops: 50 };
    assert_eq!(config.limits.parallel, parallel);
    assert_eq!(config.limits.sizes.artifact, 1 << 30);
    assert_eq!(config.schedule, Schedule::default());
    assert!(matches!(config.access, Access::Open { allow_open_network: false }));
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file() {
    let given = Given {
        flags: &[("limits.jobs", "1")],
        variables: &[("CISTERN_LIMITS_JOBS", "2"), ("CISTERN_LIMITS_QUEUE", "3"), ("CISTERN_LIMITS_JOURNAL", "")],
        file: Some("[limits]\njobs = 4\nqueue = 5\njournal = 6\nprojects = \"\""),
        ..Given::default()
    };
    let limits = given.good().limits;
    assert_eq!((limits.parallel.jobs, limits.queue, limits.journal, limits.parallel.projects), (1, 3, 6, 5));
}

#[test]
fn well_known_variables_count_when_ours_are_unset() {
    let common = [("GITLAB_URL", "https://a.example"), ("GITLAB_TOKEN", "glpat-common")];
    let given = Given { variables: &common, file: Some("[gitlab]\ntoken = \"glpat-file\""), ..Given::default() };
    assert_eq!(token(&given.good()), Some("glpat-common"));

    let ours = [common[0], common[1], ("CISTERN_GITLAB_TOKEN", "glpat-ours")];
    assert_eq!(token(&Given { variables: &ours, ..given }.good()), Some("glpat-ours"));
    let empty = [common[0], common[1], ("CISTERN_GITLAB_TOKEN", "")];
    assert_eq!(token(&Given { variables: &empty, ..given }.good()), Some("glpat-common"));
    let file = [common[0], common[1], ("CISTERN_GITLAB_TOKEN_FILE", "token")];
    let given = Given { variables: &file, secrets: &[("token", "glpat-mounted\n")], ..given };
    assert_eq!(token(&given.good()), Some("glpat-mounted"));

    let variables = [common[0], common[1], ("MONGODB_URI", "mongodb://u:s3cret@db/c")];
    let mongo = Given { variables: &variables, ..Given::default() }.good();
    assert!(matches!(mongo.store.place, Place::Mongo(ref url) if url.expose_secret().ends_with("@db/c")));
    let nameless = Given { variables: &[("MONGODB_URI", "mongodb://u:s3cret@db")], ..Given::default() }.bad();
    assert!(
        nameless.starts_with("store.url (environment MONGODB_URI): names no database; write mongodb://"),
        "{nameless}"
    );
    assert!(!nameless.contains("s3cret"), "{nameless}");
}

#[test]
fn a_secret_can_be_in_a_file_at_every_level() {
    let secrets = [("token", "glpat-mounted\r\n")];
    let url = ("CISTERN_GITLAB_URL", "https://a.example");
    let by_flag = Given { flags: &[("gitlab.token_file", "token")], ..Given::default() };
    let by_variable = Given { variables: &[("CISTERN_GITLAB_TOKEN_FILE", "token"), url], ..Given::default() };
    let by_file = Given { file: Some("[gitlab]\ntoken_file = \"token\""), ..Given::default() };
    for given in [by_flag, by_variable, by_file] {
        let variables = if given.variables.is_empty() { &[url] } else { given.variables };
        assert_eq!(token(&Given { variables, secrets: &secrets, ..given }.good()), Some("glpat-mounted"));
    }
    let given = Given {
        variables: &[("CISTERN_WEBHOOK_TOKENS_FILE", "tokens")],
        secrets: &[("tokens", "first-token-of-many\nsecond-token-of-many\n")],
        ..Given::default()
    };
    assert_eq!(given.good().webhook.tokens.len(), 2);
}

#[test]
fn a_secret_file_that_is_no_help_is_a_mistake_not_a_lower_level() {
    let variables = [("CISTERN_GITLAB_TOKEN_FILE", "glpat-s3cret"), ("GITLAB_TOKEN", "glpat-s3cret")];
    let missing = Given { variables: &variables, ..Given::default() }.load(Needs::Gitlab).expect_err("no such file");
    let missing = missing.to_string();
    assert!(
        missing.contains("gitlab.token (environment CISTERN_GITLAB_TOKEN_FILE): the file cannot be read"),
        "{missing}"
    );
    assert!(!missing.contains("s3cret"), "{missing}");
    assert_eq!(missing.lines().count(), 2, "and gitlab.url is missing: {missing}");

    let given = Given { variables: &[("CISTERN_GITLAB_TOKEN_FILE", "token")], ..Given::default() };
    assert!(Given { secrets: &[("token", "\n")], ..given }.bad().contains("the file is empty"));
    let both = Given { file: Some("\"log.level\" = \"info\"\n[log]\nlevel = \"info\""), ..Given::default() }.bad();
    assert!(both.starts_with("log.level (log.level in cistern.toml): given twice"), "{both}");
    let both = Given { flags: &[("gitlab.token", "glpat-s3cret"), ("gitlab.token_file", "token")], ..given }.bad();
    assert!(both.contains("gitlab.token (flag --gitlab-token-file): given beside the secret itself"), "{both}");
    assert!(!both.contains("s3cret"), "{both}");
}

#[test]
fn lists_have_commas_outside_the_file_and_are_arrays_in_it() {
    let by_variable = Given { variables: &[("CISTERN_PROJECTS_INCLUDE", "7, a/b,,c/**")], ..Given::default() }.good();
    let by_file = Given { file: Some("[projects]\ninclude = [7, \"a/b\", \"c/**\"]"), ..Given::default() }.good();
    for config in [by_variable, by_file] {
        let matches = |id, path| config.projects.matches(ProjectId(id), path);
        assert!(matches(7, "x/y") && matches(1, "a/b") && matches(1, "c/d") && !matches(1, "x/y"));
    }
    let text = Given { file: Some("[projects]\ninclude = \"a/b\""), ..Given::default() }.bad();
    assert!(text.contains("not an array; write an array, such as [\"one\", \"two\"]"), "{text}");
    let array = Given { file: Some("[store]\nlease = [\"30s\"]"), ..Given::default() }.bad();
    assert!(array.contains("store.lease (store.lease in cistern.toml): an array; give it one value"), "{array}");
}

#[test]
fn all_mistakes_are_reported_together_each_with_origin_and_fix() {
    let given = Given {
        flags: &[("reconcile.interval", "10")],
        variables: &[("CISTERN_GITLAB_URL", "gitlab.example.com"), ("CISTERN_GITLAB_TOKN", "glpat-s3cret")],
        file: Some("listen = \"127.0.0.1:80\"\n[limits]\njobs = 0\n"),
        ..Given::default()
    };
    let text = given.load(Needs::Gitlab).expect_err("mistakes").to_string();
    let expected = "\
CISTERN_GITLAB_TOKN (environment CISTERN_GITLAB_TOKN): no such setting; did you mean CISTERN_GITLAB_TOKEN?
listen (listen in cistern.toml): no such setting; did you mean server.listen?
gitlab.url (environment CISTERN_GITLAB_URL): not a URL: relative URL without a base; \
write it as https://gitlab.example.com or https://example.com/gitlab
gitlab.token (not set): needed here; set CISTERN_GITLAB_TOKEN, or --gitlab-token
reconcile.interval (flag --reconcile-interval): a duration without a unit; \
write a whole number and ms, s, m, h or d, such as 90s or 10m
limits.jobs (limits.jobs in cistern.toml): nothing would ever be done; write at least 1";
    assert_eq!(text, expected);
}

#[test]
fn a_file_that_is_no_toml_is_named_by_line_and_never_quoted() {
    let text = Given { file: Some("[gitlab]\ntoken = \"glpat-s3cret\" oops\n"), ..Given::default() }.bad();
    assert!(text.starts_with("cistern.toml (flag --config): is not TOML, line 2: "), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    let mut flags = Flags::default();
    flags.file = Some("away.toml".into());
    let away = Config::load(&flags, &Surroundings::empty(), Needs::Nothing).expect_err("no file").to_string();
    assert!(away.starts_with("away.toml (flag --config): cannot be read: "), "{away}");
}

/// A text that no setting of a kind accepts.
fn nonsense(kind: Kind) -> &'static str {
    match kind {
        Kind::Secret | Kind::Secrets => "whsec_s3cret \u{7}",
        Kind::Expressions => "(s3cret nonsense",
        _ => "s3cret nonsense",
    }
}

#[test]
fn every_key_is_checked_and_no_mistake_quotes_a_value() {
    for key in KEYS {
        let variable = keys::variable(key.name);
        let text = Given { variables: &[(&variable, nonsense(key.kind))], ..Given::default() }.bad();
        assert!(text.starts_with(&format!("{} (environment {variable}): ", key.name)), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let variables = [
        ("GITLAB_URL", "https://a.example"),
        ("GITLAB_TOKEN", "glpat-s3cret"),
        ("CISTERN_WEBHOOK_TOKENS", "s3cret-token-of-a-webhook"),
        ("CISTERN_WEBHOOK_SIGNING_TOKENS", SIGNING),
    ];
    let config = Given { variables: &variables, ..Given::default() }.good();
    let gitlab = config.require_gitlab().expect("URL and token are set");
    let text = format!("{config:?} {gitlab:?} {:?}", config.warnings());
    assert!(!text.contains("s3cret") && !text.contains("AAEC") && !text.contains("1, 2, 3"), "{text}");
    assert_eq!((gitlab.calls, gitlab.url.as_str()), (20, "https://a.example/"));
}

#[test]
fn listening_elsewhere_needs_a_word_about_access() {
    let listen = ("CISTERN_SERVER_LISTEN", "0.0.0.0:8080");
    let (mode, network) = (("CISTERN_ACCESS_MODE", "open"), ("CISTERN_ACCESS_ALLOW_OPEN_NETWORK", "true"));
    for variables in [&[listen][..], &[listen, mode], &[listen, network]] {
        let text = Given { variables, ..Given::default() }.bad();
        assert!(text.starts_with("access.mode (") && text.contains("reachable from other machines"), "{text}");
    }
    let config = Given { variables: &[listen, mode, network], ..Given::default() }.good();
    assert!(config.warnings().iter().any(|warning| warning.starts_with("access.allow_open_network")));
    let same = Given { flags: &[("server.admin_listen", "127.0.0.1:8080")], ..Given::default() }.bad();
    assert!(same.contains("the same as server.listen"), "{same}");
}

#[test]
fn each_mode_of_access_has_its_settings() {
    let listen = ("CISTERN_SERVER_LISTEN", "0.0.0.0:8080");
    let gitlab = ("CISTERN_ACCESS_MODE", "gitlab");
    let times = ("CISTERN_ACCESS_POSITIVE_TTL", "2m");
    let config = Given { variables: &[listen, gitlab, times], ..Given::default() }.good();
    let [positive, negative, stale_if_error] = [120, 60, 3600].map(Duration::from_secs);
    let Access::Gitlab(held) = config.access else { panic!("{:?}", config.access) };
    assert_eq!(held, VerdictTimes { positive, negative, stale_if_error });

    let token = ("CISTERN_ACCESS_MODE", "token");
    let text = Given { variables: &[token], ..Given::default() }.bad();
    assert!(text.starts_with("access.tokens (not set): needed here"), "{text}");
    let tokens = ("CISTERN_ACCESS_TOKENS", "s3cret-of-good-length,s3cret-for-one-group=group/**;42");
    let config = Given { variables: &[listen, token, tokens], ..Given::default() }.good();
    assert!(!format!("{config:?}").contains("s3cret"));
    let Access::Token(tokens) = &config.access else { panic!("{:?}", config.access) };
    assert_eq!(tokens.iter().map(|token| token.projects.is_some()).collect::<Vec<_>>(), [false, true]);
    let text = Given { variables: &[token, ("CISTERN_ACCESS_TOKENS", "s3cret=group")], ..Given::default() }.bad();
    assert!(text.starts_with("access.tokens (environment") && !text.contains("s3cret"), "{text}");
    let text = Given { variables: &[("CISTERN_ACCESS_MODE", "all")], ..Given::default() }.bad();
    assert!(text.contains("write open or token or gitlab"), "{text}");
}

#[test]
fn risky_combinations_are_warned_about() {
    let warned = |variables: &[(&str, &str)], word: &str| {
        let config = Given { variables, ..Given::default() }.good();
        config.warnings().iter().any(|warning| warning.contains(word))
    };
    let (long, unsigned) = ("a-token-of-good-length", ("CISTERN_WEBHOOK_ALLOW_UNSIGNED", "true"));
    let (tokens, signing) = (("CISTERN_WEBHOOK_TOKENS", long), ("CISTERN_WEBHOOK_SIGNING_TOKENS", SIGNING));
    assert!(warned(&[], "every webhook is refused"));
    assert!(!warned(&[tokens], "refused") && !warned(&[signing], "refused"));
    assert!(warned(&[tokens, signing, unsigned], "end it after the migration"));
    assert!(warned(&[signing, unsigned], "does nothing while webhook.tokens is empty"));
    assert!(warned(&[("CISTERN_WEBHOOK_TOKENS", "short")], "can be guessed"));
    assert!(warned(&[("GITLAB_URL", "http://gitlab.example.com")], "use https"));
    assert!(!warned(&[("GITLAB_URL", "http://127.0.0.1:8080")], "use https"));
    let flag = Given { flags: &[("gitlab.token", "glpat-s3cret")], ..Given::default() }.good();
    let text = flag.warnings().join("\n");
    assert!(text.contains("--gitlab-token shows its secret") && !text.contains("s3cret"), "{text}");
}

#[test]
fn one_scale_multiplies_the_schedule() {
    let small = Given { variables: &[("CISTERN_SCHEDULE_SCALE", "0.001")], ..Given::default() }.good().schedule;
    assert_eq!(small.log_looks.map(|look| look.as_millis()), [180, 360, 900, 3600]);
    assert_eq!((small.report_again.as_millis(), small.report_settles_after.as_millis()), (130, 260));
    for bad in ["0", "-1", "nan", "inf", "1001"] {
        let text = Given { variables: &[("CISTERN_SCHEDULE_SCALE", bad)], ..Given::default() }.bad();
        assert!(
            text.starts_with("schedule.scale (environment CISTERN_SCHEDULE_SCALE): not a number above 0"),
            "{text}"
        );
    }
}

#[test]
fn certificates_are_looked_at() {
    let flags = [("gitlab.ca_file", "ca.pem")];
    let given = Given { flags: &flags, secrets: &[("ca.pem", "-----BEGIN CERTIFICATE-----\n")], ..Given::default() };
    given.good();
    let text = Given { secrets: &[("ca.pem", "text")], ..given }.bad();
    assert!(text.contains("gitlab.ca_file (flag --gitlab-ca-file): the file holds no PEM certificate"), "{text}");
}

#[test]
fn what_may_be_passed_through_follows_from_who_may_read() {
    let tokens = ("access.tokens", "0123456789abcdef");
    for (flags, expected) in [
        (&[][..], PassThrough::Off),
        (&[("access.mode", "gitlab")], PassThrough::Caller),
        (&[("access.mode", "gitlab"), ("api.pass_through", "off")], PassThrough::Off),
        (&[("access.mode", "token"), tokens], PassThrough::Off),
        (&[("access.mode", "token"), tokens, ("api.pass_through", "service")], PassThrough::Service),
    ] {
        let config = Given { flags, ..Given::default() }.good();
        assert_eq!(config.api.pass_through, expected, "{flags:?}");
        let warned = config.warnings().iter().any(|warning| warning.contains("source code"));
        assert_eq!(warned, expected == PassThrough::Service, "{flags:?}");
    }
    for flags in [
        &[("access.mode", "gitlab"), ("api.pass_through", "service")][..],
        &[("api.pass_through", "caller")],
        &[("api.pass_through", "everything")],
    ] {
        let mistakes = Given { flags, ..Given::default() }.bad();
        assert!(mistakes.contains("api.pass_through"), "{mistakes}");
    }
}
