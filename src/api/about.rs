//! What speaks here, and to whom: the two answers that clients ask for first.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::answer::Problem;
use super::openapi::{Answer, Basis, Operation, shapes};
use super::provenance::Provenance;
use super::view::View;
use super::{link, reply};
use crate::domain::Timestamp;

/// The GitLab whose shapes are served. Clients read it to decide what they may ask for; it is our own and not the version of
/// the GitLab that is cached, because it promises what Cistern answers and not what GitLab would.
const SPOKEN: &str = "19.0.0-cistern";

pub(super) const VERSION: Operation = Operation {
    id: "getVersion",
    tag: "about",
    summary: "What speaks here",
    about: "`version` names the GitLab whose shapes are served, `revision` is Cistern's own version.",
    parameters: &[],
    basis: Basis::Derived,
    answer: Answer::One(shapes::VERSION),
    problems: &[],
};

pub(super) const USER: Operation = Operation {
    id: "getUser",
    tag: "about",
    summary: "Who asks",
    about: "With `access.mode = gitlab` the user whose token it is, as GitLab shows them to themselves. Otherwise nobody is known, and \
            everybody is one made-up user.",
    parameters: &[],
    basis: Basis::Derived,
    answer: Answer::One(shapes::USER),
    problems: &[],
};

pub(super) const METADATA: Operation = Operation { id: "getMetadata", ..VERSION };

pub(super) const TOKEN: Operation = Operation {
    id: "getToken",
    tag: "about",
    summary: "The token that asks",
    about: "With `access.mode = gitlab` GitLab's to answer. Otherwise one made-up token for everybody, of the made-up user, which may \
            read.",
    parameters: &[],
    basis: Basis::Derived,
    answer: Answer::One(shapes::TOKEN),
    problems: &[],
};

/// Answers with what speaks here.
pub(super) async fn version(request: HttpRequest, view: View) -> Result<HttpResponse, Problem> {
    view.identified().await?;
    let kas = json!({ "enabled": false, "externalUrl": null, "externalK8sProxyUrl": null, "version": null });
    let version = json!({
        "version": SPOKEN, "revision": env!("CARGO_PKG_VERSION"), "kas": kas, "enterprise": false,
    });
    Ok(reply::json(&request, now(), version.to_string()))
}

/// Answers with who asks.
pub(super) async fn user(request: HttpRequest, view: View) -> Result<HttpResponse, Problem> {
    if let Some(user) = view.user().await? {
        return Ok(reply::json(&request, Provenance::hit(user.as_of), user.text));
    }
    let user = json!({
        "id": 1,
        "username": "cistern",
        "public_email": null,
        "name": "Everybody who reads here",
        "state": "active",
        "locked": false,
        "avatar_url": null,
        "web_url": link::service(&request),
        "created_at": Timestamp::default(),
        "bot": true,
    });
    Ok(reply::json(&request, now(), user.to_string()))
}

/// Answers with the token that asks, in the words of GitLab's `Entities::PersonalAccessToken`.
pub(super) async fn token(request: HttpRequest, view: View) -> Result<HttpResponse, Problem> {
    if view.is_judged() {
        return Err(Problem::UnknownPath);
    }
    let token = json!({
        "id": 1,
        "name": "cistern",
        "revoked": false,
        "created_at": Timestamp::default(),
        "description": "Whatever reads here",
        "scopes": ["read_api"],
        "user_id": 1,
        "last_used_at": null,
        "active": true,
        "expires_at": null,
    });
    Ok(reply::json(&request, now(), token.to_string()))
}

/// What Cistern says itself is as old as the answer.
pub(super) fn now() -> Provenance {
    Provenance::hit(Timestamp::now())
}
