//! The tables of the architecture: which module knows which, and what only one place may do. To change the
//! architecture is to change a line here, with its reason.

/// A module and the others that it knows.
pub(super) struct Module {
    /// Its path. A deeper one goes before a shorter one.
    pub(super) name: &'static str,
    /// The modules or single items of others that it may name.
    pub(super) knows: &'static [&'static str],
}

const fn module(name: &'static str, knows: &'static [&'static str]) -> Module {
    Module { name, knows }
}

/// Every module of `src`. What is not listed is forbidden, and what is listed has to be used.
pub(super) const MODULES: &[Module] = &[
    // Pure data: nothing of ours, so that everything can build on it.
    module("domain", &[]),
    module("work", &["domain"]),
    // What a job can make us read is judged without IO, so that it can be tried with anything.
    module("log", &[]),
    module("archive", &[]),
    // An event is a hint (law 1): its receiver can neither read facts from GitLab nor write them.
    module("webhook", &["domain", "queue", "telemetry", "work"]),
    module("queue", &["domain", "store", "work"]),
    module("store", &["domain", "work"]),
    module("gitlab", &["domain"]),
    // Joins what is where with who has the bytes; readers of every kind use it.
    module("parts", &["archive", "domain", "log", "store"]),
    // Makes derived facts again from the store alone (law 13): without GitLab, and without those that fetch.
    module("derive", &["domain", "log", "parts", "store"]),
    // Manages GitLab's webhooks: the only module that gives GitLab orders.
    module("hooks", &["domain", "gitlab"]),
    // Text in, text out.
    module("masking", &["domain"]),
    // One path for one effect (law 2): the only module that knows both GitLab and how job facts are written.
    module("ingest", &["archive", "domain", "gitlab", "log", "masking", "store", "work"]),
    // Finds and offers work; how work is done is not its business.
    module("reconcile", &["domain", "gitlab", "log", "masking", "queue", "store", "work"]),
    // Removes what is old; what is new is not its business.
    module("retention", &["domain", "store"]),
    module("worker", &["domain", "ingest", "queue", "store", "telemetry", "work"]),
    // Readers reach GitLab only by offered work, and by questions that are passed on as they are asked.
    module(
        "api",
        &[
            "access",
            "archive",
            "domain",
            "gitlab::CREDENTIALS",
            "gitlab::NotPassed",
            "gitlab::Passage",
            "gitlab::Passed",
            "gitlab::Passing",
            "gitlab::Standing",
            "log",
            "parts",
            "queue",
            "store",
            "work",
        ],
    ),
    module("access", &["domain", "gitlab", "store"]),
    module("admin", &["domain"]),
    module("loopback", &[]),
    module("scratch", &["config::scratch_directory"]),
    module("telemetry", &["domain"]),
    module("progress", &["ingest", "reconcile", "work"]),
    // Reads settings and builds each component's own `Config`; of components it knows no more than that.
    module(
        "config",
        &[
            "domain",
            "gitlab::Config",
            "hooks::Config",
            "masking",
            "store::Config",
            "store::Place",
            "telemetry::Format",
            "telemetry::Traces",
            "webhook::Config",
            "webhook::PATH",
        ],
    ),
    // Puts everything together.
    module(
        "app",
        &[
            "access",
            "admin",
            "api",
            "config",
            "derive",
            "domain",
            "gitlab",
            "hooks",
            "ingest",
            "queue",
            "reconcile",
            "retention",
            "store",
            "telemetry",
            "webhook",
            "worker",
        ],
    ),
    // A GitLab, not a part of Cistern: it must not share our mistakes.
    module("demo::fake", &["domain"]),
    module(
        "demo",
        &[
            "app",
            "config",
            "demo::fake",
            "domain",
            "loopback",
            "progress",
            "reconcile",
            "scratch",
            "store",
            "webhook::PATH",
        ],
    ),
    // Its check asks GitLab and looks at the store itself: a whole engine would change things.
    module(
        "cli",
        &[
            "api::openapi",
            "app",
            "archive",
            "config",
            "demo",
            "domain",
            "gitlab",
            "hooks",
            "ingest",
            "log",
            "loopback",
            "parts",
            "progress",
            "reconcile",
            "retention",
            "scratch",
            "store",
            "telemetry",
            "work",
        ],
    ),
    module("main", &["cli", "config", "telemetry::close"]),
    module("lib", &[]),
];

/// What only some places may write.
pub(super) struct Ban {
    /// The code, as written; an end that is a letter is the end of a word.
    pub(super) code: &'static str,
    /// The files or folders that may, from `src/` or `tests/` on.
    pub(super) only: &'static [&'static str],
    /// Whether tests and benchmarks may, too.
    pub(super) tests: bool,
    /// Why.
    pub(super) why: &'static str,
}

const fn ban(code: &'static str, only: &'static [&'static str], why: &'static str) -> Ban {
    Ban { code, only, tests: false, why }
}

const fn ban_outside_tests(code: &'static str, only: &'static [&'static str], why: &'static str) -> Ban {
    Ban { code, only, tests: true, why }
}

/// What only some places may write, or none.
pub(super) const BANS: &[Ban] = &[
    // What hides mistakes.
    ban(".unwrap()", &[], "say with expect() why it cannot fail, or return the error"),
    ban("todo!", &[], "unfinished code is not merged"),
    ban("unimplemented!", &[], "unfinished code is not merged"),
    ban("dbg!", &[], "for a while only"),
    ban("unsafe", &[], "no need is known"),
    ban("#[ignore", &[], "a test that does not run proves nothing"),
    ban("cfg!", &[], "production code does not know whether it is tested"),
    ban("sleep(", SLEEPERS, "wait for the thing itself: rig::until, a channel, a notification"),
    // Who prints, reads the environment, ends the process.
    ban("println!", &["tests/it/architecture/mod.rs", "benches/"], "stdout carries a verb's one answer"),
    ban("print!", &[], "it panics when nobody reads on: progress::say"),
    ban("eprintln!", &["src/main.rs"], "it panics when nobody reads on: log with tracing, or progress::tell"),
    ban("eprint!", &[], "it panics when nobody reads on: progress::tell"),
    ban_outside_tests(
        "std::env::",
        &["src/config/surroundings.rs", "src/main.rs"],
        "only config reads the environment",
    ),
    ban("std::process::exit", &["src/cli/signals.rs"], "main returns the exit code; a second signal may not wait"),
    // Who starts what. Each of these joins what it starts.
    ban_outside_tests(
        "tokio::spawn",
        &["src/app/", "src/cli/signals.rs", "src/store/mongo/group.rs"],
        "only app starts tasks, and joins them; a group's lanes end when nothing waits, and closing waits for them",
    ),
    ban_outside_tests("JoinSet", &["src/worker/mod.rs"], "only the workers run a changing number of tasks"),
    ban_outside_tests(
        "spawn_blocking",
        &["src/store/sqlite/mod.rs", "src/demo/fake/mod.rs", "src/parts/aside.rs"],
        "only the store blocks, to open and to close; the fake joins its thread; searches and compressors compute, a piece at a time",
    ),
    ban_outside_tests("spawn_local", &[], "only app starts tasks, and joins them"),
    ban_outside_tests(
        "thread::Builder",
        &["src/store/sqlite/writer.rs", "src/demo/fake/mod.rs"],
        "the store's one writer has a thread; the fake has one because it stands for another program",
    ),
    ban("thread::spawn", &[], "a thread has a name: thread::Builder"),
    ban(
        "thread::sleep",
        &["src/store/sqlite/schema.rs", "benches/whole/"],
        "it holds up everything else of its thread",
    ),
    // Bounded (law 10).
    ban("unbounded", &[], "every queue has a limit"),
    ban("std::sync::mpsc::channel", &[], "every queue has a limit: sync_channel"),
    // Who knows a library. The others know what we make of it.
    ban(
        "reqwest",
        &["src/gitlab/", "src/cli/read/remote.rs", "src/telemetry/traces.rs"],
        "only gitlab asks GitLab; cli asks a running Cistern, and traces go to a collector",
    ),
    ban("opentelemetry", &["src/telemetry/"], "spans are tracing's; where they go is telemetry's business"),
    ban_outside_tests("rusqlite", &["src/store/sqlite/"], "only the store knows its database"),
    ban_outside_tests("rustix::fs", &["src/store/sqlite/"], "only the store looks at its disk"),
    ban_outside_tests("rustix::process", &["src/app/machine.rs"], "limits of the process are looked at once"),
    ban_outside_tests("mongodb::", &["src/store/mongo/"], "only the store knows its database"),
    ban("clap", &["src/cli/"], "only cli reads the command line"),
    ban("indicatif", &["src/progress/", "src/telemetry/", "src/cli/run.rs"], "bars are progress's"),
    ban_outside_tests(
        "actix_web",
        &[
            "src/webhook/",
            "src/api/",
            "src/admin/",
            "src/access/",
            "src/app/service.rs",
            "src/app/connections.rs",
            "src/demo/fake/",
        ],
        "only the edges speak HTTP",
    ),
    ban("SystemTime::now", &["src/domain/timestamp.rs"], "domain::Timestamp::now is the clock"),
    ban(
        "jiff",
        // A `Date` header, which only GitLab writes.
        &["src/domain/timestamp.rs", "src/demo/fake/http/answer.rs"],
        "a time is a domain::Timestamp",
    ),
];

/// Who may wait for time to pass.
const SLEEPERS: &[&str] = &["src/", "tests/it/rig/", "benches/"];

/// Names that say nothing about what is inside.
pub(super) const EMPTY_NAMES: &[&str] =
    &["base", "common", "core", "helper", "helpers", "manager", "misc", "shared", "stuff", "util", "utils"];

/// A file longer than this has two subjects. Most are far shorter.
pub(super) const MOST_LINES: usize = 400;
