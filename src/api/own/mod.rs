//! `GET /api/cistern/v1/…`: what GitLab has no shape for.

pub(super) mod completeness;
mod cut;
pub(super) mod follow;
pub(super) mod followers;
pub(super) mod log;
pub(super) mod suites;
