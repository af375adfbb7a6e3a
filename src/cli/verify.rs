//! `verify`: what GitLab serves and the cache does not hold; with `--deep` and `--sample` also whether what it holds is right.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::args::{Output, Verify};
use super::named::Named;
use super::run::{answer, could_not_open, could_not_pass, could_not_run, log, look_elsewhere};
use super::signals::unless_interrupted;
use super::stored::resolve;
use crate::app::Engine;
use crate::config::Config;
use crate::progress::{self, Progress, tell};
use crate::reconcile::{Comparison, Deep, PassError, Reconciler, Sample, Skipped};
use crate::store::{Gap, Place, Store};

/// What `verify --output json` prints with `--deep` or `--sample`; without them it prints the list of gaps alone.
#[derive(Debug, Serialize)]
struct Verified {
    /// What lacks, and then what could not be compared.
    gaps: Vec<Lack>,
    /// Projects whose CI is switched off.
    without_ci: u64,
    /// Logs, archives and reports that GitLab refuses to the token: no gaps, but not cached either.
    forbidden: u64,
    /// With `--deep`.
    deep: Option<Deep>,
    /// With `--sample`.
    sample: Option<Sample>,
}

/// A line of the list.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Lack {
    Gap(Gap),
    Unknown(Skipped),
}

/// Compares and lists.
pub(super) async fn run(mut config: Config, args: Verify) -> Exit {
    if let Err(exit) = log(&config, None) {
        return exit;
    }
    let place = config.store.place.clone();
    let elsewhere = match look_elsewhere(&mut config) {
        Ok(scratch) => scratch,
        Err(error) => return could_not_run(&error),
    };
    if let (Some(_), Place::Sqlite(path)) = (&elsewhere, &place) {
        let path = path.display();
        tell(format_args!("cistern: {path} does not exist: compared with an empty store; name yours with --store-url"));
    }
    let observer = Progress::silent().observer();
    let engine = match Engine::open(&config, "verify", observer).await {
        Ok(engine) => engine,
        Err(error) => return could_not_open(&error),
    };
    let (reconciler, store, gitlab) = (engine.reconciler.clone(), engine.store.clone(), engine.gitlab.clone());
    let running = engine.start_asking().await;
    let work = async {
        let named = Named::find(args.projects.clone(), &store, &gitlab).await?;
        let verified = verify(&reconciler, &store, config.reconcile.since, &named, &args).await?;
        Ok::<_, PassError>((named, verified))
    };
    let ended = unless_interrupted(work, &CancellationToken::new()).await;
    running.stop(Duration::from_secs(1)).await;
    match ended {
        Ok(Ok((named, verified))) => {
            if args.deep || args.sample.is_some() {
                answer(args.output, &verified, || verified.in_words());
            } else {
                answer(args.output, &verified.gaps, || verified.in_words());
                // The list of gaps has no room for it.
                let untold = verified.refused().filter(|_| args.output == Output::Json);
                untold.into_iter().for_each(|refused| tell(format_args!("cistern: {refused}")));
            }
            named.judge(if verified.is_clean() { Exit::Done } else { Exit::Incomplete })
        }
        Ok(Err(error)) => could_not_pass(&config, &error),
        Err(exit) => {
            tell("cistern: interrupted before everything was compared; nothing was changed");
            exit
        }
    }
}

async fn verify(
    reconciler: &Reconciler,
    store: &Store,
    since: Duration,
    named: &Named,
    args: &Verify,
) -> Result<Verified, PassError> {
    let only = named.only();
    let Comparison { gaps, skipped, without_ci } = reconciler.verify(since, &only).await?;
    let gaps = gaps.into_iter().map(Lack::Gap).chain(skipped.into_iter().map(Lack::Unknown)).collect();
    let deep = if args.deep { Some(reconciler.verify_deep(&only).await?) } else { None };
    let mut sample = None;
    if let Some(count) = args.sample {
        // A name that fits nothing is told by `named`.
        let projects = resolve(store, &args.projects).await.unwrap_or_default();
        let nothing = projects.is_empty() && !args.projects.is_empty();
        let found = if nothing { Sample::default() } else { reconciler.verify_sample(&projects, count).await? };
        sample = Some(found);
    }
    let forbidden = reconciler.forbidden(&only).await?;
    Ok(Verified { gaps, without_ci, forbidden, deep, sample })
}

impl Verified {
    fn is_clean(&self) -> bool {
        let whole = self.deep.as_ref().is_none_or(|deep| deep.damaged.is_empty());
        let same = self.sample.as_ref().is_none_or(|sample| sample.differences.is_empty() && sample.skipped.is_empty());
        self.gaps.is_empty() && whole && same
    }

    /// Says what GitLab refuses to the token, if it refuses anything: no gap, and still not here.
    fn refused(&self) -> Option<String> {
        (self.forbidden > 0).then(|| {
            format!(
                "{} logs, archives, reports and documents of pipelines are forbidden: GitLab refuses them to the token; each full pass asks again, and \
                 `cistern work retry --state forbidden` now",
                self.forbidden
            )
        })
    }

    fn in_words(&self) -> String {
        let mut text = String::new();
        let mut unknown = 0;
        for lack in &self.gaps {
            let _ = match lack {
                Lack::Gap(gap) => writeln!(text, "{gap}"),
                Lack::Unknown(skipped) => {
                    unknown += 1;
                    writeln!(text, "{skipped}")
                }
            };
        }
        let _ = writeln!(text, "{} gaps", self.gaps.len() - unknown);
        if unknown > 0 {
            let _ = writeln!(text, "{unknown} could not be compared: GitLab did not answer about them");
        }
        if self.without_ci > 0 {
            let _ = writeln!(text, "{} projects have no CI, or none for this token", self.without_ci);
        }
        if let Some(refused) = self.refused() {
            let _ = writeln!(text, "{refused}");
        }
        if let Some(Deep { checked, unchecked, bytes, damaged }) = &self.deep {
            for damage in damaged {
                let _ = writeln!(text, "{damage}");
            }
            let bytes = progress::size(*bytes);
            let _ = writeln!(
                text,
                "{} damaged of {checked} files with checksums and {unchecked} without (older), {bytes}",
                damaged.len()
            );
            if let Some(job) = damaged.iter().find_map(|damage| Some((damage.project, damage.job?))) {
                let (project, job) = job;
                let _ = writeln!(
                    text,
                    "to fetch one again: cistern forget --project {project} --job {job}, then the same with --undo; its other \
                     files go, too, and what GitLab no longer has does not come back"
                );
            }
        }
        if let Some(Sample { jobs, compared, gone, unsettled, differences, skipped }) = &self.sample {
            for difference in differences {
                let _ = writeln!(text, "{difference}");
            }
            for skipped in skipped {
                let _ = writeln!(text, "{skipped}");
            }
            let _ = writeln!(
                text,
                "{} differences in {compared} logs and archives of {jobs} jobs; GitLab no longer has {gone}, and {unsettled} \
                 are not settled",
                differences.len()
            );
        }
        text
    }
}
