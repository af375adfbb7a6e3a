//! How much of GitLab's own rate limit a backfill uses, and whether it ever oversteps it.

use std::error::Error;
use std::time::{Duration, Instant};

use cistern::demo::fake::{FakeGitlab, Options, RateLimit, World};
use tempfile::TempDir;

use super::child;
use super::figure::{Aim, Figures};
use super::place::Place;

/// What GitLab allows in a minute; its headers tell.
const PER_MINUTE: u32 = 600;

/// A backfill of more calls than two minutes allow, over two whole periods of the limit.
pub(crate) fn measure(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let directory = TempDir::new()?;
    let options = Options { rate_limit: Some(RateLimit::per_minute(PER_MINUTE)), ..Options::default() };
    let fake = FakeGitlab::start(World::demo(5, 10, 20, 7), options)?;
    let url = Place::File.url(directory.path(), "cistern.db");
    let mut backfill = child::start_backfill(&fake, &url)?;
    let begin = Instant::now();
    let periods = 2;
    while begin.elapsed() < Duration::from_secs(60 * periods) - Duration::from_millis(500) {
        #[expect(clippy::disallowed_methods, reason = "there is nothing else to do on this thread")]
        std::thread::sleep(Duration::from_millis(50));
        if backfill.try_wait()?.is_some() {
            return Err("the backfill ended before the limit had held it up".into());
        }
    }
    let (used, refused) = (fake.requests().total, fake.refusals());
    backfill.kill()?;
    backfill.wait()?;
    let share = used as f64 / (f64::from(PER_MINUTE) * periods as f64) * 100.0;
    let name = "share of a limit of 600 calls a minute that a backfill uses";
    figures.against(name, share, "%", 90.0, "the rest is for events").aim(Aim::AtLeast(85.0));
    let name = "… calls that GitLab refused with 429";
    figures.against(name, refused as f64, "calls", 0.0, "none").aim(Aim::AtMost(0.0));
    Ok(())
}
