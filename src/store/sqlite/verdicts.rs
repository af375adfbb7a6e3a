//! What GitLab said about readers.

use std::time::Duration;

use deadpool_sqlite::rusqlite::{OptionalExtension, params};

use super::Sqlite;
use super::columns::{self, integer, natural};
use super::trouble::Trouble;
use super::writer::Urgency;
use crate::domain::ProjectId;
use crate::store::metrics::Operation;
use crate::store::{About, Answer, Error, TokenHash, Verdict};

/// Expired verdicts that are removed with each new one: more than are made, so that they do not pile up.
const REMOVED_AT_ONCE: i64 = 8;

impl Sqlite {
    pub(in crate::store) async fn access_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], Error> {
        let operation = Operation("access_key", "read the key of verdicts");
        self.write(operation, Urgency::Bulk, 0, move |connection| {
            connection
                .prepare_cached("INSERT INTO access_key (id, key) VALUES (1, ?1) ON CONFLICT DO NOTHING")?
                .execute([fresh])?;
            let key: Vec<u8> = connection
                .prepare_cached("SELECT key FROM access_key WHERE id = 1")?
                .query_row([], |row| row.get(0))?;
            key.try_into().map_err(|_| Trouble::Unreadable("access key"))
        })
        .await
    }

    pub(in crate::store) async fn verdict(&self, token: TokenHash, about: &About) -> Result<Option<Verdict>, Error> {
        let about = about.key();
        self.read(Operation("verdict", "read a verdict"), move |connection| {
            let now = columns::now(connection)?;
            let verdict = connection
                .prepare_cached(
                    "SELECT answer, project, asked, user FROM verdicts
                     WHERE token = ?1 AND about = ?2 AND expires > ?3 AND asked <= ?3",
                )?
                .query_row(params![token.0, about, now], |row| {
                    Ok(Verdict {
                        answer: Answer::from_word(row.get_ref(0)?.as_str().unwrap_or_default()),
                        project: row.get::<_, Option<i64>>(1)?.map(|id| ProjectId(natural(id))),
                        told: row.get::<_, Option<String>>(3)?.map(Into::into),
                        age: Duration::from_millis(natural(now - row.get::<_, i64>(2)?)),
                    })
                })
                .optional()?;
            Ok(verdict)
        })
        .await
    }

    pub(in crate::store) async fn knows_token(&self, token: TokenHash) -> Result<bool, Error> {
        self.read(Operation("knows_token", "look for a reader's verdicts"), move |connection| {
            let found = connection
                .prepare_cached("SELECT 1 FROM verdicts WHERE token = ?1 AND answer <> ?2 AND expires > ?3 LIMIT 1")?
                .exists(params![token.0, Answer::Unauthorized.as_str(), columns::now(connection)?])?;
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn save_verdict(
        &self,
        token: TokenHash,
        about: &About,
        verdict: Verdict,
        keep: Duration,
    ) -> Result<(), Error> {
        let ends_all = verdict.answer == Answer::Unauthorized && *about == About::Token;
        let about = about.key();
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX >> 2);
        self.write(Operation("save_verdict", "keep a verdict"), Urgency::Bulk, 0, move |connection| {
            let now = columns::now(connection)?;
            let asked = now.saturating_sub(millis(verdict.age));
            let Verdict { answer, project, told, .. } = verdict;
            if ends_all {
                connection
                    .prepare_cached("DELETE FROM verdicts WHERE token = ?1 AND (asked <= ?2 OR asked > ?3)")?
                    .execute(params![token.0, asked, now])?;
            }
            connection
                .prepare_cached(
                    "DELETE FROM verdicts WHERE (token, about) IN
                     (SELECT token, about FROM verdicts WHERE expires <= ?1 LIMIT ?2)",
                )?
                .execute([asked, REMOVED_AT_ONCE])?;
            connection
                .prepare_cached(
                    "INSERT INTO verdicts (token, about, answer, project, asked, expires, user)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT DO UPDATE SET answer = ?3, project = ?4, asked = ?5, expires = ?6, user = ?7
                     WHERE asked <= ?5 OR asked > ?8",
                )?
                .execute(params![
                    token.0,
                    about,
                    answer.as_str(),
                    project.map(|id| integer(id.0)),
                    asked,
                    asked.saturating_add(millis(keep)),
                    told,
                    now,
                ])?;
            Ok(())
        })
        .await
    }
}
