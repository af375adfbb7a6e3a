//! Taking webhooks: signed deliveries of targets that nobody heard of before, each recorded in the journal.

use std::error::Error;

use cistern::demo::fake::{Delivery, FakeGitlab, JobSpec, Options, PipelineSpec, World};
use serde_json::Value;
use tempfile::TempDir;

use super::child::{SIGNING_TOKEN, Server};
use super::driver;
use super::figure::{Figures, median};
use super::load::{Done, Load, Request};
use super::place::Place;

/// Connections that stay open.
const CONNECTIONS: usize = 64;

/// Stands for the pipeline's id until it is known; ids below it have as many digits.
const PLACE: u64 = 4_242_424_242;

/// Runs of which the median is told where the database makes them vary.
const RUNS: usize = 5;

/// Sent before anything is counted.
const WARM_UP: u64 = 500;

/// Bodies as most pipelines have them.
pub(crate) fn small(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    measure(figures, "10 kB", Deliveries::of_size(10_000, 30_000)?)
}

/// The same, recorded in MongoDB.
pub(crate) fn small_on_mongodb(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let deliveries = Deliveries::of_size(10_000, 30_000)?;
    let mut sent = Vec::new();
    for _ in 0..RUNS {
        sent.push(deliveries.send(Journaled::Yes, Place::Database)?);
    }
    let name = format!("signed webhooks of 10 kB, journaled, {CONNECTIONS} connections{}", Place::Database.suffix());
    let what = "what the driver's insert_many of 100 entries each, 8 at once, records";
    let rate = median(sent.iter().map(|sent| sent.done.per_second()).collect());
    figures.against(&name, rate, "requests/s", driver::insert_many_per_second()?, what);
    figures.plain("… p99", median(sent.iter().map(|sent| sent.done.p99_millis()).collect()), "ms");
    figures.plain("… processor time", median(sent.iter().map(|sent| sent.cpu_micros).collect()), "µs/request");
    Ok(())
}

/// Bodies of pipelines with more than a hundred jobs.
pub(crate) fn large(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    measure(figures, "100 kB", Deliveries::of_size(100_000, 6_000)?)
}

fn measure(figures: &mut Figures, size: &str, deliveries: Deliveries) -> Result<(), Box<dyn Error>> {
    let journaled = deliveries.send(Journaled::Yes, Place::File)?;
    let ignored = deliveries.send(Journaled::No, Place::File)?;
    let name = format!("signed webhooks of {size}, journaled, {CONNECTIONS} connections");
    let what = "the same, verified and parsed but not journaled";
    figures.against(&name, journaled.done.per_second(), "requests/s", ignored.done.per_second(), what);
    figures.against("… p99", journaled.done.p99_millis(), "ms", ignored.done.p99_millis(), what);
    figures.against("… processor time", journaled.cpu_micros, "µs/request", ignored.cpu_micros, what);
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

struct Sent {
    done: Done,
    cpu_micros: f64,
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

    /// Sends them to a service of its own.
    fn send(&self, journaled: Journaled, place: Place) -> Result<Sent, Box<dyn Error>> {
        let directory = TempDir::new()?;
        let fake = FakeGitlab::start(World::new(), Options::default())?;
        let server = Server::start(&fake, &place.url(directory.path(), "cistern.db"))?;
        let expected = match journaled {
            Journaled::Yes => "{\"outcome\":\"accepted\"}",
            Journaled::No => "{\"outcome\":\"ignored\"}",
        };
        let load =
            || Load { address: server.address, connections: CONNECTIONS, expected: Some(expected), status: None };
        load().run(self.requests(journaled, 0..WARM_UP))?;
        let requests = self.requests(journaled, WARM_UP..WARM_UP + self.number);
        let before = server.usage();
        let done = load().run(requests)?;
        let cpu_seconds = server.usage().cpu_seconds - before.cpu_seconds;
        Ok(Sent { done, cpu_micros: cpu_seconds * 1e6 / self.number as f64 })
    }

    fn requests(&self, journaled: Journaled, numbers: std::ops::Range<u64>) -> Vec<Request> {
        let (event, before): (_, &'static str) = match journaled {
            Journaled::Yes => ("Pipeline Hook", self.before),
            Journaled::No => ("Push Hook", String::leak(self.before.replacen("\"pipeline\"", "\"push_____\"", 1))),
        };
        let make = |number: u64| {
            let id: &'static str = String::leak((PLACE + number).to_string());
            let body = [before, id, self.after];
            let delivery = Delivery::new(event, body.concat()).signed_with(SIGNING_TOKEN);
            let length: usize = body.iter().map(|part| part.len()).sum();
            let mut head = format!("POST /webhooks/gitlab HTTP/1.1\r\nHost: cistern\r\nContent-Length: {length}\r\n");
            for (name, value) in delivery.headers() {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            Request::new(head.into_bytes(), body.map(str::as_bytes).to_vec())
        };
        numbers.map(make).collect()
    }
}
