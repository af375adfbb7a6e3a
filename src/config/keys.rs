//! Every setting in one table.
//!
//! Flags, environment names, file keys, the README's settings table and the texts of mistakes all come from [`KEYS`],
//! so that they cannot differ. A setting that no code reads yet is not listed: an unknown key is a mistake that is
//! reported, a silent one would be believed.

/// What a setting's text must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An `http://` or `https://` URL.
    Url,
    /// Where the store is: `sqlite:…` or `mongodb://…`, which may hold a password.
    Store,
    /// The path of a file.
    File,
    /// `HOST:PORT`.
    Address,
    /// A whole number with `ms`, `s`, `m`, `h` or `d`.
    Duration,
    /// A whole number of bytes, or with `KiB`, `MiB` or `GiB`.
    Size,
    /// A whole number.
    Count,
    /// A number with or without a decimal point.
    Number,
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A log level, or `target=level` pairs.
    Level,
    /// A text that is never printed.
    Secret,
    /// Several texts that are never printed.
    Secrets,
    /// Several project ids, paths or patterns.
    Patterns,
    /// Several hosts: `HOST` or `HOST:PORT`.
    Hosts,
    /// Several origins of web pages: `https://HOST[:PORT]`.
    Origins,
    /// Several rules of the form `PROJECT:KIND=AGE`.
    Rules,
    /// Several regular expressions.
    Expressions,
}

/// What holds when a setting is given nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// This text, read as if somebody had written it.
    Text(&'static str),
    /// Nothing; the text says what that means.
    Unset(&'static str),
}

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// `section.key`, as the file and the documentation call it.
    pub name: &'static str,
    /// What its text must look like.
    pub kind: Kind,
    /// What holds when it is given nowhere.
    pub otherwise: Otherwise,
    /// What it means, in Markdown.
    pub meaning: &'static str,
}

impl Key {
    /// Returns the part before the dot.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }

    /// Returns whether its value must never be printed.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Secrets)
    }

    /// Returns whether it can also be given by the name of a file that holds it: every secret, and a store's URL, which may
    /// hold a password.
    pub fn may_be_in_file(&self) -> bool {
        self.is_secret() || self.kind == Kind::Store
    }

    /// Returns whether it takes several values: commas in flags and the environment, an array in the file.
    pub fn is_list(&self) -> bool {
        matches!(
            self.kind,
            Kind::Secrets | Kind::Patterns | Kind::Hosts | Kind::Origins | Kind::Rules | Kind::Expressions
        )
    }

    /// Returns the names it can be given by: its own, and for a secret the one that names a file holding it.
    pub fn names(&self) -> impl Iterator<Item = String> + use<> {
        let file = self.may_be_in_file().then(|| self.file_name());
        std::iter::once(self.name.to_owned()).chain(file)
    }

    /// Returns `section.key_file`, which names a file that holds the secret.
    pub fn file_name(&self) -> String {
        format!("{}_file", self.name)
    }

    /// Returns the word that stands for its value in the help.
    pub fn value_name(&self) -> String {
        let word = match self.kind {
            Kind::Url | Kind::Store => "URL",
            Kind::File => "FILE",
            Kind::Address => "HOST:PORT",
            Kind::Duration => "DURATION",
            Kind::Size => "SIZE",
            Kind::Count | Kind::Number => "NUMBER",
            Kind::Switch => "true|false",
            Kind::Choice(words) => return words.join("|"),
            Kind::Level => "LEVEL",
            Kind::Secret => "SECRET",
            Kind::Secrets => "SECRET,…",
            Kind::Patterns => "PROJECT,…",
            Kind::Hosts => "HOST[:PORT],…",
            Kind::Origins => "ORIGIN,…",
            Kind::Rules => "PROJECT:KIND=AGE,…",
            Kind::Expressions => "REGEX,…",
        };
        word.to_owned()
    }
}

/// Returns the flag of a setting's name, with its dashes: `gitlab.ca_file` is `--gitlab-ca-file`.
pub fn flag(name: &str) -> String {
    format!("--{}", name.replace(['.', '_'], "-"))
}

/// Returns the environment variable of a setting's name: `gitlab.ca_file` is `CISTERN_GITLAB_CA_FILE`.
pub fn variable(name: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", name.replace('.', "_").to_uppercase())
}

/// How the names of our environment variables begin.
pub const VARIABLE_PREFIX: &str = "CISTERN_";

/// Well-known variables that count when the `CISTERN_` name is unset.
pub const ALIASES: &[(&str, &Key)] =
    &[("GITLAB_URL", &GITLAB_URL), ("GITLAB_TOKEN", &GITLAB_TOKEN), ("MONGODB_URI", &STORE_URL)];

/// Returns the rows of the README's settings table, heading included.
pub fn table() -> String {
    let mut rows = String::from("| key | default | meaning |\n|---|---|---|\n");
    for key in KEYS {
        let default = match key.otherwise {
            Otherwise::Text(text) => format!("`{text}`"),
            Otherwise::Unset(text) => text.to_owned(),
        };
        rows.push_str(&format!("| `{}` | {default} | {} |\n", key.name, key.meaning));
    }
    rows
}

macro_rules! keys {
    ($($id:ident $name:literal $kind:expr, $otherwise:expr, $meaning:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $meaning, ".")]
            pub const $id: Key = Key { name: $name, kind: $kind, otherwise: $otherwise, meaning: $meaning };
        )*

        /// Every setting, in the order of the documentation.
        pub const KEYS: &[Key] = &[$($id),*];
    };
}

use Otherwise::{Text, Unset};

keys! {
    GITLAB_URL "gitlab.url" Kind::Url, Unset("none"),
        "the GitLab instance; may have a path; also read from `GITLAB_URL`";
    GITLAB_TOKEN "gitlab.token" Kind::Secret, Unset("none"),
        "a `read_api` token of Reporter role; also read from `GITLAB_TOKEN`";
    GITLAB_HOOKS_TOKEN "gitlab.hooks_token" Kind::Secret, Unset("none"),
        "only for managing webhooks: a token of scope `api` and role Maintainer (of a group: Owner)";
    GITLAB_CA_FILE "gitlab.ca_file" Kind::File, Unset("the system's store"),
        "certificates (PEM) of a private authority, or GitLab's own where it signed itself";
    GITLAB_PLAIN_STORAGE_HOSTS "gitlab.plain_storage_hosts" Kind::Hosts, Unset("none"),
        "hosts (`HOST` or `HOST:PORT`) of the storage that an https GitLab redirects to by http, where the network between may be trusted";
    WEBHOOK_TOKENS "webhook.tokens" Kind::Secrets, Unset("none"),
        "secret tokens of webhooks, several for rotation; with neither these nor signing tokens, webhooks are refused";
    WEBHOOK_SIGNING_TOKENS "webhook.signing_tokens" Kind::Secrets, Unset("none"),
        "signing tokens of webhooks (`whsec_…`), several for rotation; with one, a delivery needs a valid signature";
    WEBHOOK_ALLOW_UNSIGNED "webhook.allow_unsigned" Kind::Switch, Text("false"),
        "with signing tokens set: let an unsigned delivery pass by `webhook.tokens` (during a migration)";
    WEBHOOK_REFRESH "webhook.refresh" Kind::Duration, Text("15s"),
        "events of unfinished things refresh their pipeline's record this long after the first; `0`: they are ignored";
    STORE_URL "store.url" Kind::Store, Text("sqlite:cistern.db"),
        "where the cache is kept: `sqlite:relative`, `sqlite:///absolute` or `mongodb://…/DATABASE`; also read from `MONGODB_URI`";
    STORE_LEASE "store.lease" Kind::Duration, Text("30s"),
        "how long a process may be silent before others take its work over";
    SERVER_LISTEN "server.listen" Kind::Address, Text("127.0.0.1:8080"), "where webhooks and reads are answered";
    SERVER_ADMIN_LISTEN "server.admin_listen" Kind::Address, Text("127.0.0.1:9090"),
        "where `/metrics` and `/status` are answered, on a loopback address to loopback names only; never behind an ingress";
    SERVER_PUBLIC_URL "server.public_url" Kind::Url, Unset("none"),
        "where this service is reached from outside: webhooks point there and links begin with it, else with the request's host";
    SERVER_DRAIN_DELAY "server.drain_delay" Kind::Duration, Text("0s"),
        "how long to keep serving, not ready, after the first signal";
    SERVER_DRAIN_TIMEOUT "server.drain_timeout" Kind::Duration, Text("25s"),
        "how long running work may take to end; what is left stays in the journal";
    SERVER_CONNECTIONS "server.connections" Kind::Count, Text("8192"),
        "connections to `server.listen` at once; more are closed unread";
    SERVER_CONNECTIONS_PER_ADDRESS "server.connections_per_address" Kind::Count, Text("1024"),
        "those from one address; all that come through a reverse proxy are from its address";
    SERVER_STALL_TIMEOUT "server.stall_timeout" Kind::Duration, Text("60s"),
        "how long an answer may wait for its reader to take some of it; then the connection is cut";
    SERVER_CORS_ORIGINS "server.cors_origins" Kind::Origins, Unset("none"),
        "origins whose web pages may read (`https://HOST`), by a browser that can reach the listener";
    PROJECTS_INCLUDE "projects.include" Kind::Patterns, Unset("all the token is a member of"),
        "the projects to cache: ids, paths, `group/**`";
    PROJECTS_EXCLUDE "projects.exclude" Kind::Patterns, Unset("none"), "the projects to leave out; wins over include";
    RECONCILE_INTERVAL "reconcile.interval" Kind::Duration, Text("10m"), "time between two passes over what changed";
    RECONCILE_FULL_INTERVAL "reconcile.full_interval" Kind::Duration, Text("24h"), "time between two full passes";
    RECONCILE_SINCE "reconcile.since" Kind::Duration, Text("30d"), "how far back pipelines are cached";
    RECONCILE_OVERLAP "reconcile.overlap" Kind::Duration, Text("10m"),
        "how far before its watermark a listing starts";
    RECONCILE_AUDIT_WINDOW "reconcile.audit_window" Kind::Duration, Text("7d"),
        "pipelines this young are listed again every day, to learn of erased logs";
    LIMITS_PROJECTS "limits.projects" Kind::Count, Text("5"), "projects at once";
    LIMITS_PIPELINES "limits.pipelines" Kind::Count, Text("10"), "pipelines of a project at once";
    LIMITS_JOBS "limits.jobs" Kind::Count, Text("20"), "jobs of a pipeline at once";
    LIMITS_API_CALLS "limits.api_calls" Kind::Count, Text("20"), "GitLab calls in flight, of the whole deployment";
    LIMITS_STORE_OPS "limits.store_ops" Kind::Count, Text("50"), "store operations in flight";
    LIMITS_QUEUE "limits.queue" Kind::Count, Text("10000"), "targets in memory; the rest wait in the journal";
    LIMITS_JOURNAL "limits.journal" Kind::Count, Text("1000000"),
        "entries in the journal; when it is full, webhooks are answered `deferred`";
    LIMITS_REQUESTS_PER_MINUTE "limits.requests_per_minute" Kind::Count, Unset("unset"),
        "GitLab calls a minute; unset: follow GitLab's own headers";
    LIMITS_LOG_SIZE "limits.log_size" Kind::Size, Text("100MiB"), "larger logs are recorded, not fetched";
    LIMITS_ARTIFACT_SIZE "limits.artifact_size" Kind::Size, Text("1GiB"),
        "larger archives are recorded, not fetched, and larger answers not passed through";
    LIMITS_REPORT_SIZE "limits.report_size" Kind::Size, Text("64MiB"), "larger reports are recorded, not fetched";
    LIMITS_ARCHIVE_ENTRIES "limits.archive_entries" Kind::Count, Text("500000"),
        "archives with more files and directories are served whole only; listing one takes some 180 bytes for each";
    LIMITS_WEBHOOK_BYTES "limits.webhook_bytes" Kind::Size, Text("64MiB"), "webhook bodies in flight, together; an eighth is for those of up to 64 KiB";
    API_READ_THROUGH "api.read_through" Kind::Switch, Text("true"),
        "what a reader asks for and is not cached, not settled or too old is fetched, and awaited for up to 10 s";
    API_MAX_AGE "api.max_age" Kind::Duration, Text("30s"), "how old an answer about something unfinished may be";
    API_PASS_THROUGH "api.pass_through" Kind::Choice(super::api::PASS_THROUGH), Unset("`caller` in mode `gitlab`, else `off`"),
        "what Cistern has no answer to: `caller`: GitLab answers it to the reader's own token; `service`: to the service's, below \
         projects that the reader may read; `off`: 404";
    RETENTION_LOGS "retention.logs" Kind::Duration, Unset("kept for ever"),
        "age at which logs are removed, counted from the end of their job";
    RETENTION_ARTIFACTS "retention.artifacts" Kind::Duration, Unset("kept for ever"),
        "age at which archives are removed, counted from the end of their job";
    RETENTION_REPORTS "retention.reports" Kind::Duration, Unset("kept for ever"),
        "age at which test reports are removed, counted from the last change of their pipeline";
    RETENTION_DOCUMENTS "retention.documents" Kind::Duration, Unset("kept for ever"),
        "age at which pipelines are removed with their jobs and all the rest; at least `reconcile.since`";
    RETENTION_SIZE "retention.size" Kind::Size, Unset("no limit"),
        "room for logs, archives and reports as they are stored; beyond it the oldest jobs' go";
    RETENTION_PROJECTS "retention.projects" Kind::Rules, Unset("none"),
        "other ages for some projects: `PROJECT:KIND=AGE`, as in `group/**:logs=90d` or `42:artifacts=forever`; the first that fits counts";
    MASKING_INCLUDE "masking.include" Kind::Patterns, Unset("none: nothing is masked"),
        "the projects in whose logs, reports and documents secrets are replaced before they are stored: ids, paths, `group/**`, `**`";
    MASKING_EXCLUDE "masking.exclude" Kind::Patterns, Unset("none"), "the projects to leave out of it; wins over include";
    MASKING_KNOWN "masking.known" Kind::Switch, Text("true"),
        "replace the tokens and private keys that are known by their shape";
    MASKING_PATTERNS "masking.patterns" Kind::Expressions, Unset("none"),
        "regular expressions of what to replace besides; in flags and variables they end at commas";
    ACCESS_MODE "access.mode" Kind::Choice(super::access::MODES), Unset("`open` on loopback, else none"),
        "who may read; `open`: everybody on this machine, `token`: who has one of `access.tokens`, `gitlab`: whom GitLab lets";
    ACCESS_TOKENS "access.tokens" Kind::Secrets, Unset("none"),
        "static tokens of readers; one for some projects only: `TOKEN=group/**;42`";
    ACCESS_POSITIVE_TTL "access.positive_ttl" Kind::Duration, Text("5m"), "how long GitLab's yes to a reader holds";
    ACCESS_NEGATIVE_TTL "access.negative_ttl" Kind::Duration, Text("1m"), "how long its no holds";
    ACCESS_STALE_IF_ERROR "access.stale_if_error" Kind::Duration, Text("1h"),
        "how long either holds while GitLab cannot be asked";
    ACCESS_ALLOW_OPEN_NETWORK "access.allow_open_network" Kind::Switch, Text("false"),
        "with `access.mode = open`: let everybody read who reaches it from elsewhere, too";
    SCHEDULE_SCALE "schedule.scale" Kind::Number, Text("1"),
        "multiplies every waiting time of retries and later looks";
    LOG_FORMAT "log.format" Kind::Choice(&["text", "json"]), Unset("`text` on a terminal, else `json`"),
        "how log lines are written";
    LOG_LEVEL "log.level" Kind::Level, Text("info"),
        "how much is logged: `off`, `error`, `warn`, `info`, `debug`, `trace`; or `target=level` pairs";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_unique_and_of_one_section_and_one_key() {
        let mut variables = HashSet::new();
        for key in KEYS {
            let (section, rest) = key.name.split_once('.').expect("every name has a section");
            for part in [section, rest] {
                assert!(part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", key.name);
            }
            for name in key.names() {
                assert!(variables.insert(variable(&name)), "{name} is given twice");
            }
            assert!(!key.meaning.contains('|') && !key.meaning.ends_with('.'), "{}", key.name);
        }
    }

    #[test]
    fn names_follow_one_rule() {
        assert_eq!(flag("gitlab.ca_file"), "--gitlab-ca-file");
        assert_eq!(variable("gitlab.ca_file"), "CISTERN_GITLAB_CA_FILE");
        assert_eq!(GITLAB_TOKEN.names().collect::<Vec<_>>(), ["gitlab.token", "gitlab.token_file"]);
        assert_eq!(GITLAB_URL.names().collect::<Vec<_>>(), ["gitlab.url"]);
    }

    #[test]
    fn the_table_has_a_row_for_every_key() {
        let table = table();
        assert_eq!(table.lines().count(), KEYS.len() + 2);
        assert!(table.lines().all(|row| row.matches('|').count() == 4), "{table}");
        assert!(table.contains("| `store.lease` | `30s` | how long"), "{table}");
    }
}
