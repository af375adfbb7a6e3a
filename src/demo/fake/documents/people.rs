//! The parts that repeat in other documents: the one user, the one commit message, the one runner.

use serde_json::{Value, json};

use crate::demo::fake::world::World;

const MESSAGE: &str = "Round slack water to the minute\n\nRefs #318 & <no others>\n";
const TITLE: &str = "Round slack water to the minute";

impl World {
    /// The small user entity of pipelines.
    pub(crate) fn user(&self) -> Value {
        let base = &self.base_url;
        json!({
            "id": 412,
            "username": "ihalvorsen",
            "public_email": "",
            "name": "Ines Halvorsen",
            "state": "active",
            "locked": false,
            "avatar_url": format!("{base}/uploads/-/system/user/avatar/412/avatar.png"),
            "web_url": format!("{base}/ihalvorsen"),
        })
    }

    /// The larger user entity of jobs.
    pub(super) fn user_of_job(&self) -> Value {
        let mut user = self.user();
        if let Some(keys) = user.as_object_mut() {
            keys.insert("created_at".to_owned(), json!("2021-04-01T06:00:00.000Z"));
            for key in ["bio", "location", "linkedin", "twitter", "website_url", "organization"] {
                keys.insert(key.to_owned(), json!(""));
            }
        }
        user
    }

    /// The user as webhooks show it.
    pub(super) fn user_of_event(&self) -> Value {
        json!({
            "id": 412,
            "name": "Ines Halvorsen",
            "username": "ihalvorsen",
            "avatar_url": format!("{}/uploads/-/system/user/avatar/412/avatar.png", self.base_url),
            "email": "[REDACTED]",
        })
    }

    pub(crate) fn commit(&self, project_path: &str, sha: &str) -> Value {
        json!({
            "id": sha,
            "short_id": sha.get(..8),
            "created_at": "2026-11-20T10:13:41.000+01:00",
            "parent_ids": ["9d01b7e2c3f4a5968778695a4b3c2d1e0f123456"],
            "title": TITLE,
            "message": MESSAGE,
            "author_name": "Ines Halvorsen",
            "author_email": "ines@ravenfield.example",
            "authored_date": "2026-11-20T10:13:41.000+01:00",
            "committer_name": "Ines Halvorsen",
            "committer_email": "ines@ravenfield.example",
            "committed_date": "2026-11-20T10:13:41.000+01:00",
            "trailers": {},
            "extended_trailers": {},
            "web_url": format!("{}/{project_path}/-/commit/{sha}", self.base_url),
        })
    }

    /// The commit of a pipeline event.
    pub(super) fn commit_of_pipeline_event(&self, project_path: &str, sha: &str) -> Value {
        json!({
            "id": sha,
            "message": MESSAGE,
            "title": TITLE,
            "timestamp": "2026-11-20T10:13:41+01:00",
            "url": format!("{}/{project_path}/-/commit/{sha}", self.base_url),
            "author": {"name": "Ines Halvorsen", "email": "[REDACTED]"},
        })
    }

    /// What a job event says of the commit itself; the pipeline's part is added by the caller.
    pub(super) fn commit_of_job_event(&self, sha: &str) -> Value {
        json!({
            "sha": sha,
            "message": MESSAGE,
            "author_name": "Ines Halvorsen",
            "author_email": "ines@ravenfield.example",
            "author_url": format!("{}/ihalvorsen", self.base_url),
        })
    }
}

pub(super) fn runner() -> Value {
    json!({
        "id": 31,
        "description": "k8s-linux-large-3",
        "ip_address": null,
        "active": true,
        "paused": false,
        "is_shared": true,
        "runner_type": "instance_type",
        "name": null,
        "online": true,
        "status": "online",
    })
}

pub(super) fn runner_manager() -> Value {
    json!({
        "id": 77,
        "system_id": "r_Zk81pQ0aVhTx",
        "version": "18.9.0",
        "revision": "0f67ff19",
        "platform": "linux",
        "architecture": "amd64",
        "created_at": "2026-08-01T00:00:00.000Z",
        "contacted_at": "2026-11-20T10:19:12.030Z",
        "ip_address": "10.4.0.17",
        "status": "online",
    })
}

pub(super) fn runner_of_event(tags: &[String]) -> Value {
    json!({
        "id": 31,
        "description": "k8s-linux-large-3",
        "runner_type": "instance_type",
        "active": true,
        "is_shared": true,
        "tags": tags,
    })
}
