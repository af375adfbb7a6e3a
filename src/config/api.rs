//! `api.*`: how readers' misses are answered.

use std::time::Duration;

use super::Access;
use super::keys::{API_MAX_AGE, API_PASS_THROUGH, API_READ_THROUGH};
use super::reader::{Reader, one_of};
use super::units::Unfit;

/// The oldest answer that may be accepted: longer, and nobody would notice that reading through is on.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The values of `api.pass_through`.
pub(super) const PASS_THROUGH: &[&str] = &["caller", "off", "service"];

/// How readers' misses are answered (design, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// `api.read_through`: what is not cached, not settled or too old is fetched.
    pub read_through: bool,
    /// `api.max_age`: how old an answer about something unfinished may be.
    pub max_age: Duration,
    /// `api.pass_through`.
    pub pass_through: PassThrough,
}

/// In whose name GitLab is asked what Cistern has no answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassThrough {
    /// In the reader's, by their own token: `access.mode = gitlab` only.
    Caller,
    /// It is not asked.
    Off,
    /// In the service's, below the projects that the reader may read: `access.mode` `open` and `token` only.
    Service,
}

impl Api {
    /// Reads the settings; who may read decides what may be passed through.
    pub(super) fn read(reader: &mut Reader, access: Option<&Access>) -> Option<Self> {
        let read_through = reader.switch(&API_READ_THROUGH);
        let max_age = reader.duration(&API_MAX_AGE, Duration::ZERO..=LONGEST);
        let given = reader.optional(&API_PASS_THROUGH, |text| match text {
            "caller" => Ok(PassThrough::Caller),
            "off" => Ok(PassThrough::Off),
            "service" => Ok(PassThrough::Service),
            _ => Err(one_of(PASS_THROUGH)),
        });
        let judged = matches!(access?, Access::Gitlab(_));
        let pass_through = given?.unwrap_or(if judged { PassThrough::Caller } else { PassThrough::Off });
        match (pass_through, judged) {
            (PassThrough::Caller, false) => {
                let problem = "caller, while readers bring no token of GitLab";
                reader.wrong(&API_PASS_THROUGH, Unfit::new(problem, "write off or service, or access.mode = gitlab"));
            }
            (PassThrough::Service, true) => {
                let problem = "service, which would show readers what GitLab does not";
                reader.wrong(&API_PASS_THROUGH, Unfit::new(problem, "write caller, or leave it out"));
            }
            (PassThrough::Service, false) => reader.warn(
                "api.pass_through = service: whoever may read a project reads its repository with its source code, its merge \
                 requests, releases, environments, deployments, labels, badges and schedules with gitlab.token, too; and its members \
                 where that token has no more than the Reporter role",
            ),
            _ => {}
        }
        Some(Self { read_through: read_through?, max_age: max_age?, pass_through })
    }
}
