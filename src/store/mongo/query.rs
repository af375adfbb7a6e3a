//! Reading many documents: what is asked, in which order, by which index.

use futures_util::TryStreamExt;
use mongodb::Cursor;
use mongodb::action::Action;
use mongodb::bson::Document;
use mongodb::options::{FindOptions, Hint};
use serde::de::DeserializeOwned;

use super::reach::Collections;
use super::trouble::Trouble;

/// A question to one collection.
#[derive(Debug, Clone)]
pub(super) struct Query {
    filter: Document,
    options: FindOptions,
}

impl Query {
    /// Asks for everything that the filter meets.
    pub(super) fn of(filter: Document) -> Self {
        Self { filter, options: FindOptions::default() }
    }

    pub(super) fn sort(mut self, order: Document) -> Self {
        self.options.sort = Some(order);
        self
    }

    /// Only these fields.
    pub(super) fn fields(mut self, fields: Document) -> Self {
        self.options.projection = Some(fields);
        self
    }

    /// By this index, which was made for it: the planner's own choice depends on what it has seen before.
    pub(super) fn index(mut self, name: &str) -> Self {
        self.options.hint = Some(Hint::Name(name.to_owned()));
        self
    }

    pub(super) fn skip(mut self, rows: u64) -> Self {
        self.options.skip = Some(rows);
        self
    }

    /// At most so many rows; 0 would mean all.
    pub(super) fn limit(mut self, rows: i64) -> Self {
        self.options.limit = Some(rows);
        self
    }
}

impl Collections {
    /// Returns all rows at once.
    pub(super) async fn rows<T>(&self, name: &str, query: Query) -> Result<Vec<T>, Trouble>
    where
        T: DeserializeOwned + Send + Sync + Unpin,
    {
        Ok(self.cursor(name, query).await?.try_collect().await?)
    }

    /// Returns rows one by one.
    pub(super) async fn cursor<T>(&self, name: &str, query: Query) -> Result<Cursor<T>, Trouble>
    where
        T: DeserializeOwned + Send + Sync,
    {
        Ok(self.of::<T>(name).find(query.filter).with_options(query.options).await?)
    }

    /// Returns what an aggregation answers.
    pub(super) async fn aggregated<T>(
        &self,
        name: &str,
        stages: impl IntoIterator<Item = Document>,
        index: Option<&str>,
    ) -> Result<Vec<T>, Trouble>
    where
        T: DeserializeOwned + Send + Sync + Unpin,
    {
        let hint = index.map(|index| Hint::Name(index.to_owned()));
        let collection = self.of::<T>(name);
        let aggregate = collection.aggregate(stages).optional(hint, |aggregate, hint| aggregate.hint(hint));
        Ok(aggregate.with_type::<T>().await?.try_collect().await?)
    }
}
