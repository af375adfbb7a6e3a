//! Documents that are not quite what GitLab describes.

use serde_json::Value;

use super::World;
use crate::domain::JobId;

impl World {
    /// Writes a member of a job's document as this from now on, whatever it is: `/artifacts_file/size`. A member that the
    /// document has not stays away.
    pub fn write_oddly(&mut self, job: JobId, member: &str, value: Value) {
        self.odd.entry(job).or_default().push((member.to_owned(), value));
        self.rendered.jobs.remove(&job);
    }

    /// Puts the odd members of a job's document in place.
    pub(crate) fn make_odd(&self, job: JobId, mut document: Value) -> Value {
        for (member, value) in self.odd.get(&job).into_iter().flatten() {
            if let Some(place) = document.pointer_mut(member) {
                place.clone_from(value);
            }
        }
        document
    }
}
