//! Test reports and their summaries (contract, section 5.8): suites merge the parallel jobs of one name; the report
//! shrinks when JUnit files expire, the summary does not.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::demo::fake::content::Case;
use crate::demo::fake::world::{Job, World};
use crate::domain::PipelineId;

/// The results of all jobs of one name.
struct Suite {
    name: String,
    build_ids: Vec<u64>,
    error: Option<String>,
    cases: Vec<Case>,
}

/// How many tests ended how.
#[derive(Default, Clone, Copy)]
struct Counts {
    seconds: f64,
    total: u64,
    success: u64,
    failed: u64,
    skipped: u64,
    error: u64,
}

impl Counts {
    fn of(cases: &[Case]) -> Self {
        let mut counts = Self::default();
        for case in cases {
            counts.seconds += case.seconds;
            counts.total += 1;
            match case.status.as_str() {
                "failed" => counts.failed += 1,
                "skipped" => counts.skipped += 1,
                "error" => counts.error += 1,
                _ => counts.success += 1,
            }
        }
        counts
    }

    fn sum(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            seconds: sum.seconds + one.seconds,
            total: sum.total + one.total,
            success: sum.success + one.success,
            failed: sum.failed + one.failed,
            skipped: sum.skipped + one.skipped,
            error: sum.error + one.error,
        })
    }

    /// Seconds without the noise of adding floats; no times add up to Ruby's integer 0.
    fn rounded_seconds(&self) -> Value {
        if self.total == 0 { json!(0) } else { json!((self.seconds * 10_000.0).round() / 10_000.0) }
    }

    fn document(&self) -> Value {
        json!({
            "total_time": self.rounded_seconds(),
            "total_count": self.total,
            "success_count": self.success,
            "failed_count": self.failed,
            "skipped_count": self.skipped,
            "error_count": self.error,
        })
    }
}

impl World {
    /// The full report of a pipeline as it stands; the caller caches it as GitLab does.
    pub(crate) fn test_report(&self, pipeline: PipelineId) -> Bytes {
        let suites = self.suites(pipeline, Job::has_junit);
        let total = Counts::sum(suites.iter().map(|suite| Counts::of(&suite.cases)));
        let documents: Vec<Value> = suites
            .iter()
            .map(|suite| {
                let cases: Vec<Value> = suite.cases.iter().map(case_document).collect();
                let mut keys = json!({"name": suite.name});
                extend(&mut keys, Counts::of(&suite.cases).document());
                extend(&mut keys, json!({"suite_error": suite.error, "test_cases": cases}));
                keys
            })
            .collect();
        let mut report = total.document();
        extend(&mut report, json!({"test_suites": documents}));
        Bytes::from(report.to_string())
    }

    /// The summary of a pipeline, never cached.
    pub(crate) fn test_report_summary(&self, pipeline: PipelineId) -> Value {
        let suites = self.suites(pipeline, Job::has_test_summary);
        let total = Counts::sum(suites.iter().map(|suite| Counts::of(&suite.cases)));
        let documents: Vec<Value> = suites
            .iter()
            .map(|suite| {
                let mut keys = json!({"name": suite.name});
                extend(&mut keys, Counts::of(&suite.cases).document());
                extend(&mut keys, json!({"build_ids": suite.build_ids, "suite_error": suite.error}));
                keys
            })
            .collect();
        json!({
            "total": {
                "time": total.rounded_seconds(),
                "count": total.total,
                "success": total.success,
                "failed": total.failed,
                "skipped": total.skipped,
                "error": total.error,
                "suite_error": null,
            },
            "test_suites": documents,
        })
    }

    fn suites(&self, pipeline: PipelineId, wanted: impl Fn(&Job) -> bool) -> Vec<Suite> {
        let mut suites: Vec<Suite> = Vec::new();
        let ids = self.pipelines.get(&pipeline).map(|pipeline| pipeline.jobs.as_slice()).unwrap_or_default();
        for job in ids.iter().filter_map(|id| self.jobs.get(id)).filter(|job| !job.retried && wanted(job)) {
            let Some(junit) = &job.junit else { continue };
            let name = group_name(&job.name);
            let suite = match suites.iter_mut().find(|suite| suite.name == name) {
                Some(suite) => suite,
                None => suites.push_mut(Suite {
                    name: name.to_owned(),
                    build_ids: Vec::new(),
                    error: None,
                    cases: Vec::new(),
                }),
            };
            suite.build_ids.push(job.id.0);
            suite.error = suite.error.take().or_else(|| junit.error().map(str::to_owned));
            suite.cases.extend(junit.render());
        }
        for suite in suites.iter_mut().filter(|suite| suite.error.is_some()) {
            suite.cases.clear();
        }
        suites
    }
}

fn case_document(case: &Case) -> Value {
    json!({
        "status": case.status,
        "name": case.name,
        "classname": case.classname,
        "file": null,
        "execution_time": case.seconds,
        "system_output": case.system_output,
        "stack_trace": null,
        "recent_failures": null,
    })
}

/// Removes the number of a parallel job: `rspec 3/4` belongs to `rspec`; a matrix job's name is left whole.
fn group_name(name: &str) -> &str {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match name.rsplit_once(' ') {
        Some((group, part)) if part.split_once('/').is_some_and(|(n, of)| number(n) && number(of)) => group,
        _ => name,
    }
}

fn extend(keys: &mut Value, more: Value) {
    if let (Some(keys), Value::Object(more)) = (keys.as_object_mut(), more) {
        keys.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::group_name;

    #[test]
    fn parallel_jobs_share_a_suite_and_matrix_jobs_do_not() {
        assert_eq!(group_name("rspec 3/4"), "rspec");
        assert_eq!(group_name("e2e: [chrome, de]"), "e2e: [chrome, de]");
        assert_eq!(group_name("build a/b"), "build a/b");
    }
}
