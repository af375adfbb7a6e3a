//! How a route describes itself: what it is asked with and what it answers.

/// What one route does. Every route has one, or it could not be added (see [`super::super::table`]).
#[derive(Debug)]
pub(in crate::api) struct Operation {
    /// Its name in generated clients.
    pub(in crate::api) id: &'static str,
    /// The group it is shown in.
    pub(in crate::api) tag: &'static str,
    /// What it answers, in a few words.
    pub(in crate::api) summary: &'static str,
    /// What is worth knowing beside that, in Markdown; may be empty.
    pub(in crate::api) about: &'static str,
    /// The query parameters; those of the path follow from it.
    pub(in crate::api) parameters: &'static [&'static [Parameter]],
    /// Where its answers come from.
    pub(in crate::api) basis: Basis,
    /// What a good answer is.
    pub(in crate::api) answer: Answer,
    /// The other statuses that it answers with, beside those that every route has.
    pub(in crate::api) problems: &'static [u16],
}

/// Where answers come from.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) enum Basis {
    /// GitLab's own words, as they are cached.
    Cached,
    /// Made here, from what is cached.
    Derived,
}

/// One query parameter.
#[derive(Debug)]
pub(in crate::api) struct Parameter {
    /// Its name.
    pub(in crate::api) name: &'static str,
    /// What it looks like.
    pub(in crate::api) kind: Kind,
    /// What it does.
    pub(in crate::api) about: &'static str,
}

/// What a parameter looks like.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) enum Kind {
    /// Any text.
    Text,
    /// As it is, and it has to be there.
    Needed,
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// `true` or `false`.
    Switch,
    /// A date, with or without a time.
    Date,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any of these words, as `name[]=…` once for each.
    Words(&'static [&'static str]),
}

/// What a good answer is.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) enum Answer {
    /// One object.
    One(Shape),
    /// A list of objects, paged.
    List(Shape),
    /// A log.
    Log,
    /// An archive.
    Archive,
    /// Part of a log, in one of several forms.
    Part,
    /// A file of whatever type.
    File,
    /// Server-sent events.
    Events,
}

/// What an object looks like, told by an example: its keys are the schema's properties, and each has the type that the
/// example shows, or is null. Other keys may be there, as GitLab adds some with each version.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Shape {
    /// Its name among the schemas.
    pub(in crate::api) name: &'static str,
    /// An object, as JSON.
    pub(in crate::api) example: &'static str,
}

/// Makes a parameter.
pub(in crate::api) const fn parameter(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter { name, kind, about }
}

/// The parameters of every list that is paged by number.
pub(in crate::api) const PAGING: &[Parameter] = &[
    parameter("page", Kind::Number(1, 4_294_967_295), "Which page; counts from 1."),
    parameter("per_page", Kind::Number(1, 4_294_967_295), "Rows on a page: 20, and 100 at most."),
];

/// The parameters of lists that can be paged by key, too.
pub(in crate::api) const KEYSET: &[Parameter] = &[parameter(
    "pagination",
    Kind::Word(&["offset", "keyset"]),
    "`keyset`: pages follow each other by `Link` with `rel=\"next\"` until there is none.",
)];
