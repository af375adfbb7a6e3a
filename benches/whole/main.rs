//! The program as a whole, measured from outside: the real binary, a real store file or `mongod`, a made-up GitLab that takes
//! its time.
//!
//! The made-up GitLab and the load generator run in this process, so that what is said of processor time and memory is the
//! program's alone. Each figure is shown beside its ideal and its aim; all of them are written to `target/bench/figures.json`,
//! and as the table of the README to stdout, with a last line of which aims were reached. A benchmark is no test: it ends
//! well when they were not, and badly when something could not be measured. Figures that several runs gave are medians.
//! `cargo bench --bench whole -- warm` runs the parts whose names contain `warm`.

mod backfill;
mod caching;
mod child;
mod driver;
mod fetched;
mod figure;
mod hook_runner;
mod limit;
mod live;
mod load;
mod machine;
#[allow(dead_code, reason = "made for the tests, which stop it, too")]
#[path = "../../tests/it/rig/mongod.rs"]
mod mongod;
mod parts_of;
mod passed;
mod peer;
mod place;
mod reads;
mod size;
mod webhook;

use std::error::Error;
use std::time::Duration;

use figure::Aim;

/// How long a database may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes one kind of figure.
type Measure = fn(&mut figure::Figures) -> Result<(), Box<dyn Error>>;

const MEASURES: [(&str, Measure); 20] = [
    ("cold and warm backfill", backfill::with_latency),
    ("sequential backfill", backfill::one_at_a_time),
    ("unhindered backfill", backfill::without_latency),
    ("peer", peer::measure),
    ("live events", live::measure),
    ("idle", size::idle),
    ("rate limit", limit::measure),
    ("small webhooks", webhook::small),
    ("large webhooks", webhook::large),
    ("reads", reads::measure),
    ("passed through", passed::measure),
    ("parts", parts_of::in_a_file),
    ("caching what is large", caching::measure),
    ("log storage", size::logs),
    ("binary", size::binary),
    ("latency on mongodb", backfill::with_latency_on_mongodb),
    ("unhindered backfill on mongodb", backfill::without_latency_on_mongodb),
    ("webhooks on mongodb", webhook::small_on_mongodb),
    ("blobs on mongodb", driver::blobs),
    ("parts on mongodb", parts_of::in_a_database),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Reading the list of benchmarks is not running them.
    if arguments.iter().any(|argument| argument == "--list") {
        MEASURES.iter().for_each(|(name, _)| println!("{name}: benchmark"));
        return Ok(());
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|wanted| MEASURES.iter().all(|(name, _)| !name.contains(wanted.as_str())))
    {
        let names = MEASURES.map(|(name, _)| name).join(", ");
        return Err(format!("no figures are called {unknown}: there are {names}").into());
    }
    let mut figures = figure::Figures::default();
    let (mut highest, mut failed) = ((0.0, ""), Vec::new());
    for (name, measure) in MEASURES {
        if wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            if let Err(error) = measure(&mut figures) {
                failed.push(format!("{name}: {error}"));
            }
            figures.show();
            let peak = child::take_peak_mebibytes();
            if peak > highest.0 {
                highest = (peak, name);
            }
        }
    }
    let (peak, name) = highest;
    if peak > 0.0 {
        figures.plain(&format!("peak memory in any of these: in {name}"), peak, "MiB").aim(Aim::AtMost(120.0));
    }
    figures.add_parts();
    figures.publish(&machine::line())?;
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}
