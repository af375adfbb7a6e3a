//! How a store behaves while it grows from a thousand jobs to a million: what one more job costs, how soon a service over it
//! is ready, and how long each kind of read takes.
//!
//! `cargo bench --bench growth` takes both stores to a million, which takes ten minutes and 10 GB; `cargo bench --bench growth
//! -- sqlite 100000` one store, and less far. The projects are always the same ten: they have ever more pipelines of 20 jobs.
//! The table goes to stdout and, as JSON, to `target/bench/growth.json`.

#[allow(dead_code, reason = "made for the other benchmark, which also runs backfills")]
#[path = "../whole/child.rs"]
mod child;
#[allow(dead_code, reason = "made for the other benchmark, which also looks at single bodies")]
#[path = "../whole/load.rs"]
mod load;
#[allow(dead_code, reason = "made for the tests, which stop it, too")]
#[path = "../../tests/it/rig/mongod.rs"]
mod mongod;
#[allow(dead_code, reason = "made for the other benchmark, which names figures by it")]
#[path = "../whole/place.rs"]
mod place;
mod reads;
mod seed;
mod table;

use std::error::Error;
use std::time::{Duration, Instant};

use cistern::demo::fake::{FakeGitlab, Options, World};
use tempfile::TempDir;

use place::Place;
use table::Grown;

/// How long a database may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many jobs are stored when a measurement is taken, unless fewer are asked for.
const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--bench")).collect();
    // Reading the list of benchmarks is not running them.
    if arguments.iter().any(|argument| argument == "--list") {
        return Ok(());
    }
    let most = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(u64::MAX);
    let wants = |name: &str| {
        let mut stores = arguments.iter().filter(|argument| argument.parse::<u64>().is_err()).peekable();
        stores.peek().is_none() || stores.any(|wanted| wanted == name)
    };
    let mut grown = Vec::new();
    for (name, place) in [("sqlite", Place::File), ("mongodb", Place::Database)] {
        if wants(name) {
            grown.push(grow(name, place, most)?);
        }
    }
    table::publish(&grown)
}

/// Takes one store through all sizes.
fn grow(name: &'static str, place: Place, most: u64) -> Result<Grown, Box<dyn Error>> {
    let directory = TempDir::new()?;
    let url = place.url(directory.path(), "cistern.db");
    // Nothing is ever asked of it: what is stored belongs to projects that it does not know.
    let fake = FakeGitlab::start(World::new(), Options::default())?;
    let mut grown = Grown { store: name, steps: Vec::new() };
    for jobs in SIZES.into_iter().filter(|jobs| *jobs <= most) {
        let cost = seed::fill(&url, jobs)?;
        let began = Instant::now();
        let server = child::Server::start_with(&fake, &url, &[("API_READ_THROUGH", "false")])?;
        reads::ready(server.address)?;
        let start = began.elapsed();
        let reads = reads::measure(&server, jobs)?;
        let memory = server.usage().peak_bytes;
        grown.add(table::Step { jobs, cost, start, reads, memory });
    }
    Ok(grown)
}
