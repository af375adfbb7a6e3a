//! What GitLab said about readers. The server removes expired verdicts by itself.

use std::time::Duration;

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::calls::Urgency;
use super::schema::{META, VERDICTS};
use super::trouble::{Trouble, is_duplicate};
use super::values::{integer, natural};
use crate::domain::ProjectId;
use crate::store::metrics::Operation;
use crate::store::{About, Answer, Error, TokenHash, Verdict};

/// The document of `meta` that holds the key.
const KEY: &str = "access_key";

#[derive(Deserialize)]
struct Kept {
    answer: Box<str>,
    project: Option<i64>,
    #[serde(default)]
    user: Option<Box<str>>,
    age: i64,
}

impl Mongo {
    pub(in crate::store) async fn access_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], Error> {
        let operation = Operation("access_key", "read the key of verdicts");
        self.run(operation, Urgency::Bulk, |collections| async move {
            let meta = collections.of::<Document>(META);
            let made = doc! { "$setOnInsert": { "key": binary(&fresh) } };
            // Of two replicas that make it at once, one meets the other's.
            match meta.update_one(doc! { "_id": KEY }, made).upsert(true).await {
                Err(error) if !is_duplicate(&error) => return Err(error.into()),
                _ => {}
            }
            let kept = meta.find_one(doc! { "_id": KEY }).await?;
            let key = kept.as_ref().and_then(|kept| kept.get_binary_generic("key").ok());
            key.and_then(|key| key.as_slice().try_into().ok()).ok_or(Trouble::Unreadable("access key"))
        })
        .await
    }

    pub(in crate::store) async fn verdict(&self, token: TokenHash, about: &About) -> Result<Option<Verdict>, Error> {
        let id = id(token, about);
        self.read(Operation("verdict", "read a verdict"), |collections| async move {
            let stages = [
                doc! { "$match": { "_id": id, "$expr": { "$and": [
                    { "$gt": ["$expires", "$$NOW"] }, { "$lte": ["$asked", "$$NOW"] },
                ] } } },
                doc! { "$project": { "_id": 0, "answer": 1, "project": 1, "user": 1, "age": { "$subtract": ["$$NOW", "$asked"] } } },
            ];
            let found: Vec<Kept> = collections.aggregated(VERDICTS, stages, None).await?;
            Ok(found.into_iter().next().map(|kept| Verdict {
                answer: Answer::from_word(&kept.answer),
                project: kept.project.map(|id| ProjectId(natural(id))),
                told: kept.user,
                age: Duration::from_millis(natural(kept.age)),
            }))
        })
        .await
    }

    pub(in crate::store) async fn knows_token(&self, token: TokenHash) -> Result<bool, Error> {
        let operation = Operation("knows_token", "look for a reader's verdicts");
        self.read(operation, |collections| async move {
            let known = doc! {
                "token": binary(&token.0),
                "answer": { "$ne": Answer::Unauthorized.as_str() },
                "$expr": { "$gt": ["$expires", "$$NOW"] },
            };
            Ok(collections.of::<Document>(VERDICTS).find_one(known).await?.is_some())
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
        let id = id(token, about);
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX >> 2);
        let (age, keep) = (millis(verdict.age), millis(keep));
        let Verdict { answer, project, told, .. } = verdict;
        self.run(Operation("save_verdict", "keep a verdict"), Urgency::Bulk, |collections| async move {
            let verdicts = collections.of::<Document>(VERDICTS);
            let asked = doc! { "$subtract": ["$$NOW", age] };
            let fields = doc! {
                "token": binary(&token.0),
                "answer": answer.as_str(),
                "project": project.map(|id| integer(id.0)),
                "user": told.map(|told| doc! { "$literal": String::from(told) }),
                "asked": asked.clone(),
                "expires": { "$add": ["$$NOW", keep.saturating_sub(age)] },
            };
            // A document that was not there has no `asked`, which is less than every date.
            let later = doc! { "$and": [
                { "$gt": ["$asked", asked.clone()] }, { "$lte": ["$asked", "$$NOW"] },
            ] };
            let change =
                doc! { "$replaceWith": { "$cond": [later, "$$ROOT", { "$mergeObjects": ["$$ROOT", fields] }] } };
            let saved = || verdicts.update_one(doc! { "_id": &id }, vec![change.clone()]).upsert(true);
            match saved().await {
                // Another replica made the document at the same time.
                Err(error) if is_duplicate(&error) => drop(saved().await?),
                saved => drop(saved?),
            }
            if ends_all {
                let others = doc! {
                    "token": binary(&token.0), "_id": { "$ne": &id }, "$expr": { "$or": [
                        { "$lte": ["$asked", asked] }, { "$gt": ["$asked", "$$NOW"] },
                    ] },
                };
                verdicts.delete_many(others).await?;
            }
            Ok(())
        })
        .await
    }
}

fn id(token: TokenHash, about: &About) -> String {
    let mut id: String = token.0.iter().map(|byte| format!("{byte:02x}")).collect();
    id.push(' ');
    id.push_str(&about.key());
    id
}

fn binary(bytes: &[u8]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}
