//! Reading many documents: what is asked, in which order, by which index.

use std::marker::PhantomData;

use mongodb::Cursor;
use mongodb::action::Action;
use mongodb::bson::{Bson, Document, RawDeserializer, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{FindOptions, Hint};
use serde::de::DeserializeOwned;

use super::reach::Collections;
use super::trouble::Trouble;
use super::values::{integer, natural};

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

    /// Only from this key of the index on, and before the other one.
    pub(super) fn between(mut self, from: Document, before: Document) -> Self {
        (self.options.min, self.options.max) = (Some(from), Some(before));
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

/// Rows that come one by one.
pub(super) struct Rows<T> {
    found: Cursor<RawDocumentBuf>,
    row: PhantomData<T>,
}

impl<T: DeserializeOwned> Rows<T> {
    fn of(found: Cursor<RawDocumentBuf>) -> Self {
        Self { found, row: PhantomData }
    }

    /// Returns the next row, `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<T>, Trouble> {
        if self.found.advance().await? { read(self.found.current()).map(Some) } else { Ok(None) }
    }

    async fn all(mut self) -> Result<Vec<T>, Trouble> {
        let mut rows = Vec::new();
        while let Some(row) = self.next().await? {
            rows.push(row);
        }
        Ok(rows)
    }
}

/// Reads a row. The driver would do it by itself, with code of its own for each type and each kind of BSON value: 0.7 MB of it
/// for ours.
fn read<T: DeserializeOwned>(found: &RawDocument) -> Result<T, Trouble> {
    let unreadable = |_| Trouble::Unreadable("document");
    let whole = RawDeserializer::new(found.as_bytes()).map_err(|_| Trouble::Unreadable("document"))?;
    erased_serde::deserialize(&mut <dyn erased_serde::Deserializer<'_>>::erase(whole)).map_err(unreadable)
}

impl Collections {
    /// Returns the first row.
    pub(super) async fn one<T: DeserializeOwned>(&self, name: &str, query: Query) -> Result<Option<T>, Trouble> {
        let Query { filter, options } = query;
        let FindOptions { projection, sort, .. } = options;
        let collection = self.of::<RawDocumentBuf>(name);
        let asked = collection.find_one(filter);
        let asked = asked.optional(projection, |asked, fields| asked.projection(fields));
        let found = asked.optional(sort, |asked, order| asked.sort(order)).await?;
        found.map(|found| read(&found)).transpose()
    }

    /// Returns all rows at once.
    pub(super) async fn rows<T: DeserializeOwned>(&self, name: &str, query: Query) -> Result<Vec<T>, Trouble> {
        self.cursor(name, query).await?.all().await
    }

    /// Returns rows one by one.
    pub(super) async fn cursor<T: DeserializeOwned>(&self, name: &str, query: Query) -> Result<Rows<T>, Trouble> {
        let Query { filter, options } = query;
        Ok(Rows::of(self.of(name).find(filter).with_options(options).await?))
    }

    /// Counts documents with equal values, at most so many: by the keys of an index that begins with these fields.
    pub(super) async fn counted(&self, name: &str, equal: Document, index: &str, most: u64) -> Result<u64, Trouble> {
        // The driver's own count is an aggregation, which looks into each key once it has a limit.
        let command = doc! { "count": name, "query": equal, "hint": index, "limit": integer(most) };
        let asked = async || Ok::<_, Trouble>(self.database.run_command(command.clone()).await?);
        let answer = match asked().await {
            // The driver repeats its own reads.
            Err(trouble) if trouble.may_pass() => asked().await?,
            answer => answer?,
        };
        match answer.get("n") {
            Some(Bson::Int32(count)) => Ok(natural(i64::from(*count))),
            Some(Bson::Int64(count)) => Ok(natural(*count)),
            _ => Err(Trouble::Unreadable("count")),
        }
    }

    /// Returns what an aggregation answers.
    pub(super) async fn aggregated<T: DeserializeOwned>(
        &self,
        name: &str,
        stages: impl IntoIterator<Item = Document>,
        index: Option<&str>,
    ) -> Result<Vec<T>, Trouble> {
        let hint = index.map(|index| Hint::Name(index.to_owned()));
        let collection = self.of::<RawDocumentBuf>(name);
        let aggregate = collection.aggregate(stages).optional(hint, |aggregate, hint| aggregate.hint(hint));
        Rows::of(aggregate.with_type().await?).all().await
    }
}
