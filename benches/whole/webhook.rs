//! Taking webhooks: signed deliveries of targets that nobody heard of before, each recorded in the journal.

use std::error::Error;
use std::time::{Duration, Instant};

use cistern::demo::fake::{Delivery, FakeGitlab, JobSpec, Options, PipelineSpec, World};
use cistern::webhook::PATH;
use serde_json::Value;
use tempfile::TempDir;

use super::child::{SIGNING_TOKEN, Server};
use super::driver;
use super::figure::{Aim, Figures, median};
use super::hook_runner::HookRunner;
use super::load::{Answers, Done, Load, Request};
use super::place::Place;

/// Connections that stay open.
const CONNECTIONS: usize = 64;

/// Stands for the pipeline's id until it is known; ids below it have as many digits.
const PLACE: u64 = 4_242_424_242;

/// Runs of which the median is told.
const RUNS: usize = 5;

/// Sent before anything is counted.
const WARM_UP: u64 = 500;

/// Deliveries to a program that starts another one for each.
const TO_HOOK_RUNNER: u64 = 4_000;

/// How long each call of a backfill takes beside which webhooks come.
const LATENCY: Duration = Duration::from_millis(50);

/// Calls of it that are over before they come.
const UNDER_WAY: u64 = 400;

/// Bodies as most pipelines have them.
pub(crate) fn small(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let deliveries = Deliveries::of_size(10_000, 30_000)?;
    let rate = measure(figures, "10 kB", &deliveries, (25_000.0, 10.0))?;
    while_fetching(figures, &deliveries, rate)?;
    beside_a_hook_runner(figures, &deliveries, rate)
}

/// Bodies of pipelines with more than a hundred jobs.
pub(crate) fn large(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    measure(figures, "100 kB", &Deliveries::of_size(100_000, 6_000)?, (7_000.0, 50.0)).map(drop)
}

/// Small ones, recorded in MongoDB.
pub(crate) fn small_on_mongodb(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let sent = Deliveries::of_size(10_000, 30_000)?.send_often(Journaled::Yes, Place::Database)?;
    let name = format!("signed webhooks of 10 kB, journaled, {CONNECTIONS} connections{}", Place::Database.suffix());
    let what = "what the driver's insert_many of 100 entries each, 8 at once, records";
    let ideal = driver::insert_many_per_second()?;
    figures.against(&name, sent.per_second, "requests/s", ideal, what).aim(Aim::AtLeast(12_000.0));
    figures.plain("… p99", sent.p99_millis, "ms").aim(Aim::AtMost(40.0));
    figures.plain("… processor time", sent.cpu_micros, "µs/request");
    sent.tell_deferred(figures);
    Ok(())
}

/// Returns how many a second are journaled; `aims` are that number and the p99 in milliseconds.
fn measure(
    figures: &mut Figures,
    size: &str,
    deliveries: &Deliveries,
    aims: (f64, f64),
) -> Result<f64, Box<dyn Error>> {
    let journaled = deliveries.send_often(Journaled::Yes, Place::File)?;
    let ignored = deliveries.send_often(Journaled::No, Place::File)?;
    let name = format!("signed webhooks of {size}, journaled, {CONNECTIONS} connections");
    let what = "the same, verified and parsed but not journaled";
    let (least, most) = aims;
    figures.against(&name, journaled.per_second, "requests/s", ignored.per_second, what).aim(Aim::AtLeast(least));
    figures.against("… p99", journaled.p99_millis, "ms", ignored.p99_millis, what).aim(Aim::AtMost(most));
    figures.against("… processor time", journaled.cpu_micros, "µs/request", ignored.cpu_micros, what);
    journaled.tell_deferred(figures);
    Ok(journaled.per_second)
}

/// Webhooks that come while the pass at start fetches as much as it may.
fn while_fetching(figures: &mut Figures, deliveries: &Deliveries, idle: f64) -> Result<(), Box<dyn Error>> {
    let (mut sent, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let directory = TempDir::new()?;
        let options = Options { latency: LATENCY, ..Options::default() };
        let fake = FakeGitlab::start(World::demo(5, 100, 20, 7), options)?;
        let server = Server::start(&fake, &Place::File.url(directory.path(), "cistern.db"))?;
        while fake.requests().total < UNDER_WAY {
            #[expect(clippy::disallowed_methods, reason = "there is nothing else to do on this thread")]
            std::thread::sleep(Duration::from_millis(10));
        }
        let requests = || fake.requests().total + fake.requests().storage;
        let (before, began) = (requests(), Instant::now());
        sent.push(deliveries.send_to(&server, Journaled::Yes)?);
        calls.push((requests() - before) as f64 / began.elapsed().as_secs_f64());
    }
    let sent = Sent::median(&sent);
    let name = "… while a full backfill fetches, 50 ms per call, 20 in flight";
    figures.against(name, sent.per_second, "requests/s", idle, "as when it is idle").aim(Aim::AtLeast(12_000.0));
    figures.plain("… p99 meanwhile", sent.p99_millis, "ms");
    sent.tell_deferred(figures);
    figures.against("… requests of the backfill meanwhile", median(calls), "requests/s", 400.0, "20 in flight / 50 ms");
    Ok(())
}

/// The same deliveries to Debian's `webhook`, which starts `/bin/true` for each and answers when that has ended.
fn beside_a_hook_runner(figures: &mut Figures, deliveries: &Deliveries, ours: f64) -> Result<(), Box<dyn Error>> {
    let runner = match HookRunner::start() {
        Ok(runner) => runner,
        Err(why) => {
            let why = format!("cannot be had: {why}");
            figures.absent("… times as many as Debian's webhook takes", &why).aim(Aim::AtLeast(15.0));
            return Ok(());
        }
    };
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let requests = deliveries.requests(HookRunner::PATH, Journaled::Yes, 0..TO_HOOK_RUNNER);
        let done = Load { address: runner.address, connections: CONNECTIONS, answers: Answers::of(200) };
        rates.push(done.run(requests)?.per_second());
    }
    let theirs = median(rates);
    let name = format!("signed webhooks of 10 kB, each waiting for /bin/true, Debian's webhook {}", runner.version);
    figures.plain(&name, theirs, "requests/s");
    figures.plain("… times as many are journaled by ours", ours / theirs, "×").aim(Aim::AtLeast(15.0));
    Ok(())
}

/// Whether deliveries are of a kind that is recorded: the same work up to the journal is done for all.
#[derive(Clone, Copy)]
enum Journaled {
    Yes,
    No,
}

/// One shape of delivery, with a place for the id.
struct Deliveries {
    before: &'static str,
    after: &'static str,
    number: u64,
}

/// How deliveries of one run, or the middle one of several, were taken.
struct Sent {
    per_second: f64,
    p99_millis: f64,
    /// Processor time for each.
    cpu_micros: f64,
    /// How many were left to an early sweep, because the journal took too long.
    deferred: f64,
}

impl Sent {
    fn median(runs: &[Self]) -> Self {
        let of = |value: fn(&Self) -> f64| median(runs.iter().map(value).collect());
        Self {
            per_second: of(|sent| sent.per_second),
            p99_millis: of(|sent| sent.p99_millis),
            cpu_micros: of(|sent| sent.cpu_micros),
            deferred: runs.iter().map(|sent| sent.deferred).sum(),
        }
    }

    fn tell_deferred(&self, figures: &mut Figures) {
        if self.deferred > 0.0 {
            let name = format!("… answered `deferred` in {RUNS} runs, because the journal took too long");
            figures.plain(&name, self.deferred, "requests");
        }
    }
}

impl Deliveries {
    /// Makes a Pipeline Hook of a running pipeline, with as many jobs as the size needs.
    fn of_size(bytes: usize, number: u64) -> Result<Self, Box<dyn Error>> {
        let mut world = World::new();
        let project = world.add_project("group/app");
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let fake = FakeGitlab::start(world, Options::default())?;
        let body = loop {
            fake.with(|world| {
                let job = world.add_job(pipeline, JobSpec::new("rspec 3/4"));
                world.start_job(job);
            });
            let delivery = fake.pipeline_event(pipeline).ok_or("the pipeline has an event")?;
            if delivery.body().len() >= bytes {
                break delivery.body();
            }
        };
        let mut event: Value = serde_json::from_slice(&body)?;
        *event.pointer_mut("/object_attributes/id").ok_or("a pipeline event has an id")? = PLACE.into();
        let text = event.to_string();
        let (before, after) = text.split_once(&PLACE.to_string()).ok_or("the id is in the text")?;
        Ok(Self { before: String::leak(before.to_owned()), after: String::leak(after.to_owned()), number })
    }

    /// Sends them several times, each time to a service of its own.
    fn send_often(&self, journaled: Journaled, place: Place) -> Result<Sent, Box<dyn Error>> {
        let mut sent = Vec::new();
        for _ in 0..RUNS {
            let directory = TempDir::new()?;
            let fake = FakeGitlab::start(World::new(), Options::default())?;
            let server = Server::start(&fake, &place.url(directory.path(), "cistern.db"))?;
            sent.push(self.send_to(&server, journaled)?);
        }
        Ok(Sent::median(&sent))
    }

    fn send_to(&self, server: &Server, journaled: Journaled) -> Result<Sent, Box<dyn Error>> {
        let (expected, instead) = match journaled {
            Journaled::Yes => ("{\"outcome\":\"accepted\"}", Some("{\"outcome\":\"deferred\"}")),
            Journaled::No => ("{\"outcome\":\"ignored\"}", None),
        };
        let answers = Answers { expected: Some(expected), instead, status: None };
        let load = || Load { address: server.address, connections: CONNECTIONS, answers };
        load().run(self.requests(PATH, journaled, 0..WARM_UP))?;
        let requests = self.requests(PATH, journaled, WARM_UP..WARM_UP + self.number);
        let before = server.usage();
        let done: Done = load().run(requests)?;
        let deferred = done.others as f64;
        let cpu_seconds = server.usage().cpu_seconds - before.cpu_seconds;
        Ok(Sent {
            per_second: done.per_second(),
            p99_millis: done.p99_millis(),
            cpu_micros: cpu_seconds * 1e6 / self.number as f64,
            deferred,
        })
    }

    fn requests(&self, path: &str, journaled: Journaled, numbers: std::ops::Range<u64>) -> Vec<Request> {
        let (event, before): (_, &'static str) = match journaled {
            Journaled::Yes => ("Pipeline Hook", self.before),
            Journaled::No => ("Push Hook", String::leak(self.before.replacen("\"pipeline\"", "\"push_____\"", 1))),
        };
        let make = |number: u64| {
            let id: &'static str = String::leak((PLACE + number).to_string());
            let body = [before, id, self.after];
            let delivery = Delivery::new(event, body.concat()).signed_with(SIGNING_TOKEN).with_token(HookRunner::TOKEN);
            let length: usize = body.iter().map(|part| part.len()).sum();
            let mut head = format!("POST {path} HTTP/1.1\r\nHost: cistern\r\nContent-Length: {length}\r\n");
            for (name, value) in delivery.headers() {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            Request::new(head.into_bytes(), body.map(str::as_bytes).to_vec())
        };
        numbers.map(make).collect()
    }
}
