//! What GitLab answers itself, beside the same calls without Cistern between.

use std::error::Error;
use std::time::Duration;

use cistern::demo::fake::{FakeGitlab, Options, World};
use tempfile::TempDir;

use super::child::Server;
use super::figure::{Aim, Figures};
use super::load::{Answers, Load, Request};
use super::place::Place;

/// How long each call to GitLab takes.
const LATENCY: Duration = Duration::from_millis(50);

/// Readers at once, and what each asks: within the part of the permits that is for them.
const CONNECTIONS: usize = 4;
const REQUESTS: usize = 400;

const REPORTER: &str = "glpat-reporter-9a8b7c6d";

/// What may be added to half of the answers, in milliseconds.
const ADDED_MILLIS: f64 = 3.0;

/// Branches of a project, which Cistern knows nothing of.
pub(crate) fn measure(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let directory = TempDir::new()?;
    let mut world = World::new();
    let project = world.add_project("group/app");
    world.add_user(REPORTER);
    world.set_role(project, REPORTER, 20);
    let fake = FakeGitlab::start(world, Options { latency: LATENCY, ..Options::default() })?;
    let store = Place::File.url(directory.path(), "cistern.db");
    super::child::backfill(&fake, &store, &[])?;
    let server = Server::start_with(&fake, &store, &[("ACCESS_MODE", "gitlab"), ("ACCESS_POSITIVE_TTL", "1h")])?;
    let head = format!(
        "GET /api/v4/projects/{project}/repository/branches HTTP/1.1\r\nHost: localhost\r\nPRIVATE-TOKEN: {REPORTER}\r\n\r\n"
    );
    let asked = |address, number| {
        let load = Load { address, connections: CONNECTIONS, answers: Answers::of(200) };
        load.run((0..number).map(|_| Request::new(head.clone().into(), Vec::new())).collect())
    };
    let gitlab = fake.url().trim_start_matches("http://").parse()?;
    asked(server.address, CONNECTIONS)?;
    let (direct, passed) = (asked(gitlab, REQUESTS)?, asked(server.address, REQUESTS)?);
    let name = format!("passed through, {CONNECTIONS} connections: p50");
    figures.against(&name, passed.part_millis(50), "ms", direct.part_millis(50), "the same call direct");
    let added = passed.part_millis(50) - direct.part_millis(50);
    figures.against("… added", added, "ms", 0.0, "nothing").aim(Aim::AtMost(ADDED_MILLIS));
    figures.plain("… p99", passed.p99_millis(), "ms");
    Ok(())
}
