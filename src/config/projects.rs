//! `projects.*`: which projects are cached.

use std::fmt;
use std::str::FromStr;

use globset::{Glob, GlobBuilder, GlobSet};

use super::keys::{Key, PROJECTS_EXCLUDE, PROJECTS_INCLUDE};
use super::reader::Reader;
use super::units::Unfit;
use crate::domain::ProjectId;

/// One project, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectRef {
    /// By its numeric id.
    Id(ProjectId),
    /// By its path, `group/subgroup/name`; GitLab does not tell upper from lower case in it.
    Path(String),
}

impl FromStr for ProjectRef {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let unfit = |problem: &str, fix: String| Err(Unfit::new(problem, fix));
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let id = text.parse().map_err(|_| Unfit::new("not an id", "write a project's id or path"))?;
            return Ok(Self::Id(id));
        }
        let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
        if text.contains("://") || !text.bytes().all(is_path) {
            return unfit("not a project's id or path", "write 42 or group/name".to_owned());
        }
        if text.split('/').any(str::is_empty) {
            return unfit("a path with an empty part", "write group/name, with one slash between parts".to_owned());
        }
        if !text.contains('/') {
            return unfit("a path without a group", format!("write group/name; all of a group is {text}/**"));
        }
        Ok(Self::Path(text.to_owned()))
    }
}

impl fmt::Display for ProjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Path(path) => f.write_str(path),
        }
    }
}

impl ProjectRef {
    fn matches(&self, id: ProjectId, path: &str) -> bool {
        match self {
            Self::Id(own) => *own == id,
            Self::Path(own) => own.eq_ignore_ascii_case(path),
        }
    }
}

/// Which projects are cached: those included and not excluded.
#[derive(Debug, Clone)]
pub struct Selection {
    include: Patterns,
    exclude: Patterns,
}

#[derive(Debug, Clone, Default)]
struct Patterns {
    named: Vec<ProjectRef>,
    globs: Vec<Glob>,
    set: GlobSet,
}

impl Selection {
    /// Returns the selection of exactly these projects, excluded ones or not: what a person asked for by name.
    pub fn only(projects: Vec<ProjectRef>) -> Self {
        Self { include: Patterns { named: projects, ..Patterns::default() }, exclude: Patterns::default() }
    }

    /// Returns the selection of what these ids, paths and patterns name.
    pub(super) fn of(patterns: &[&str]) -> Result<Self, Unfit> {
        let parsed = patterns.iter().map(|text| parse_pattern(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { include: Patterns::of(parsed)?, exclude: Patterns::default() })
    }

    /// Returns whether a project is cached. An exclusion wins; without inclusions everything is included.
    pub fn matches(&self, id: ProjectId, path: &str) -> bool {
        (self.include.is_empty() || self.include.matches(id, path)) && !self.excludes(id, path)
    }

    /// Returns whether a project of unknown path may be cached: false only when its id alone decides so.
    pub fn may_match(&self, id: ProjectId) -> bool {
        let by_id = |patterns: &Patterns| patterns.named.contains(&ProjectRef::Id(id));
        let only_ids = self.include.globs.is_empty()
            && !self.include.named.is_empty()
            && self.include.named.iter().all(|one| matches!(one, ProjectRef::Id(_)));
        !by_id(&self.exclude) && (!only_ids || by_id(&self.include))
    }

    /// Returns whether every project is cached, whatever its id and path.
    pub fn includes_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Returns the included projects that are named one by one, whatever patterns are included beside them: GitLab can be
    /// asked for these by themselves, also for such that the token is no member of. Exclusions still apply.
    pub fn named(&self) -> &[ProjectRef] {
        &self.include.named
    }

    /// Returns whether a project is excluded.
    pub fn excludes(&self, id: ProjectId, path: &str) -> bool {
        self.exclude.matches(id, path)
    }

    /// Returns whether at least one pattern or project is included.
    pub(super) fn includes_some(&self) -> bool {
        !self.include.is_empty()
    }

    /// Returns the selection of what one id, path or pattern means.
    pub(super) fn of_pattern(text: &str) -> Result<Self, Unfit> {
        let include = Patterns::of(vec![parse_pattern(text)?])?;
        Ok(Self { include, exclude: Patterns::default() })
    }

    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        Self::read_from(reader, &PROJECTS_INCLUDE, &PROJECTS_EXCLUDE)
    }

    pub(super) fn read_from(reader: &mut Reader, include: &Key, exclude: &Key) -> Option<Self> {
        let include = Patterns::read(reader, include);
        let exclude = Patterns::read(reader, exclude);
        Some(Self { include: include?, exclude: exclude? })
    }
}

impl Default for Selection {
    /// Returns the selection of every project.
    fn default() -> Self {
        Self { include: Patterns::default(), exclude: Patterns::default() }
    }
}

enum Pattern {
    Named(ProjectRef),
    Glob(Glob),
}

impl Patterns {
    fn read(reader: &mut Reader, key: &Key) -> Option<Self> {
        let parsed = reader.list(key, parse_pattern)?;
        Self::of(parsed).map_err(|unfit| reader.wrong(key, unfit)).ok()
    }

    fn of(parsed: Vec<Pattern>) -> Result<Self, Unfit> {
        let mut patterns = Self::default();
        for pattern in parsed {
            match pattern {
                Pattern::Named(project) => patterns.named.push(project),
                Pattern::Glob(glob) => patterns.globs.push(glob),
            }
        }
        let too_many = |_| Unfit::new("the patterns are too many or too large", "write fewer");
        let set = GlobSet::new(&patterns.globs).map_err(too_many)?;
        Ok(Self { set, ..patterns })
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.globs.is_empty()
    }

    fn matches(&self, id: ProjectId, path: &str) -> bool {
        self.named.iter().any(|project| project.matches(id, path)) || self.set.is_match(path)
    }
}

fn parse_pattern(text: &str) -> Result<Pattern, Unfit> {
    if !text.contains(['*', '?', '[', ']', '{', '}']) {
        return text.parse().map(Pattern::Named);
    }
    let unfit =
        |problem: &str| Unfit::new(problem, "write an id, a path, or a pattern such as group/** or group/*-api");
    // Braces would be torn apart at their commas in flags and the environment.
    if text.contains(['{', '}', '\\', ' ']) || text.contains("://") {
        return Err(unfit("a pattern with braces, backslashes, spaces or a URL"));
    }
    if text.starts_with('/') || text.ends_with('/') {
        return Err(unfit("a pattern that begins or ends with a slash"));
    }
    if !text.contains('/') && text != "**" {
        return Err(unfit("a pattern without a slash, which no project's path matches"));
    }
    let glob = GlobBuilder::new(text).literal_separator(true).case_insensitive(true).build();
    glob.map(Pattern::Glob).map_err(|error| unfit(&format!("not a pattern: {}", error.kind())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags, Needs, Surroundings};

    fn selection(include: &str, exclude: &str) -> Selection {
        let mut flags = Flags::default();
        flags.set("projects.include", include);
        flags.set("projects.exclude", exclude);
        Config::load(&flags, &Surroundings::empty(), Needs::Nothing).expect("good patterns").projects
    }

    #[test]
    fn ids_paths_and_patterns_select() {
        let selection = selection("7, Group/App,infra/**,web/*-api", "infra/secret/**,8");
        let matches = |id: u64, path: &str| selection.matches(ProjectId(id), path);
        assert!(matches(7, "anything/else"));
        assert!(matches(1, "group/app"));
        assert!(!matches(1, "group/app2"));
        assert!(matches(1, "infra/a") && matches(1, "Infra/a/b/c"));
        assert!(!matches(1, "infra/secret/a") && !matches(8, "infra/a"));
        assert!(matches(1, "web/shop-api") && !matches(1, "web/shop/x-api"));
        assert!(!selection.includes_all() && selection.excludes(ProjectId(8), "a/b"));
    }

    #[test]
    fn nothing_given_selects_everything() {
        let everything = selection("", "");
        assert!(everything.includes_all() && everything.matches(ProjectId(1), "a/b"));
        assert!(!selection("", "a/**").includes_all());
        assert!(selection("**", "").matches(ProjectId(1), "a/b/c"));
    }

    #[test]
    fn an_id_alone_decides_only_where_it_can() {
        let may = |include: &str, exclude: &str| selection(include, exclude).may_match(ProjectId(7));
        assert!(may("", "") && may("7", "") && may("8,a/b", "") && may("a/**", "b/**"));
        assert!(!may("8", "") && !may("", "7") && !may("7", "7"));
    }

    #[test]
    fn named_projects_can_be_asked_for_by_themselves() {
        let named = [ProjectRef::Id(ProjectId(7)), ProjectRef::Path("a/b".to_owned())];
        assert_eq!(selection("7,group/**,a/b", "").named(), named);
        assert!(Selection::only(named.to_vec()).matches(ProjectId(7), "x/y"));
        assert!(!Selection::only(named.to_vec()).matches(ProjectId(8), "x/y"));
    }

    #[test]
    fn what_could_match_nothing_is_refused() {
        for bad in
            ["group", "/group/a", "group/", "https://gitlab.example.com/a/b", "a b/c", "0", "*", "a/{b", "a/[b", "/a/*"]
        {
            assert!(parse_pattern(bad).is_err(), "{bad}");
        }
    }
}
