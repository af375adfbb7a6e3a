//! The newest of our projects: one page, asked for by readers only.

use std::collections::HashMap;

use super::{Found, Ingest, Task, Trouble};
use crate::domain::{Document, Project, ProjectId, Subject, Timestamp};
use crate::store::{Change, ListOf, Listing};

impl Ingest {
    /// Stores those of the hundred newest projects that are ours and not as they are stored. What is in them is left to the
    /// passes and to who asks for it.
    ///
    /// The newest, because a project that was made since the passes came by has the highest id; where there are no more than a
    /// hundred, the page is the whole list.
    pub(super) async fn newest_projects(&self, task: &Task<'_>, found: &mut Found) -> Result<(), Trouble> {
        let page = self.gitlab.newest_projects(task.class()).await?;
        let oldest = page.rows.iter().map(|project| project.facts.created_at.unwrap_or(page.as_of)).min();
        let mut ours = page.rows;
        ours.retain(|project| (self.policy.selected)(project.id, &project.path));
        let subjects = ours.iter().map(|project| Subject::Project { project: project.id }).collect();
        let forgotten = self.store.forgotten(subjects).await?;
        ours.retain(|project| !forgotten.contains(&Subject::Project { project: project.id }));
        let ids = ours.iter().map(|project| project.id).collect();
        let held = self.store.project_documents(ids).await?.into_iter();
        let held: HashMap<ProjectId, Document> = held.filter_map(|held| Some((Project::id_of(&held)?, held))).collect();
        let new = ours.into_iter().filter_map(|project| {
            let id = project.id;
            project.listed_over(held.get(&id))
        });
        found.facts.extend(new.map(Change::Project));
        if page.malformed > 0 {
            found.trouble = Some(Trouble::Unreadable(page.malformed));
            return Ok(());
        }
        let listing = match oldest.filter(|_| page.next.is_some()) {
            Some(since) => Listing { as_of: page.as_of, since: since.max(Timestamp::from_millis(1)) },
            None => Listing::whole(page.as_of),
        };
        found.facts.push(Change::Listed(ListOf::Projects, listing));
        Ok(())
    }
}
