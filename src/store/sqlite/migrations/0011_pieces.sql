-- A report and its summary are two pieces. While they were one, a report that was too large was kept without its summary.
ALTER TABLE pipelines ADD COLUMN summary_piece TEXT NOT NULL DEFAULT 'missing';
UPDATE pipelines SET summary_piece = iif(report_piece = 'too_large', 'missing', report_piece);

-- Whether a job's `junit` only says that it may have delivered JUnit: nobody saw before its artifacts expired or were erased.
ALTER TABLE jobs ADD COLUMN junit_hidden INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET junit = 1, junit_hidden = 1
WHERE junit = 0 AND ended = 1 AND started = 1 AND json_valid(doc)
    AND (doc ->> 'erased_at' IS NOT NULL OR unixepoch(doc ->> 'artifacts_expire_at') * 1000 <= as_of)
    AND NOT EXISTS (SELECT 1 FROM pipelines, json_each(report_builds)
                    WHERE pipelines.project = jobs.project AND pipelines.id = jobs.pipeline AND json_each.value = jobs.id);

-- What earlier versions settled wrongly is work for full passes.
-- A log that GitLab listed and answered with nothing, twice, was taken for none.
UPDATE jobs SET log_piece = 'live', log_note = NULL, log_mismatch_since = NULL, open = max(open, 1)
WHERE log_piece = 'no_log' AND log_note = 'size_mismatch';
-- An archive that GitLab keeps past its expiry is listed among the artifacts only; nobody asked for it.
UPDATE jobs SET archived = 1, open = max(open, 1)
WHERE archive_piece = 'expired' AND json_valid(doc)
    AND EXISTS (SELECT 1 FROM json_each(doc, '$.artifacts')
                WHERE value ->> 'file_type' = 'archive' AND value ->> 'size' IS NOT NULL);
UPDATE pipelines SET open = open | 1
WHERE gone = 0
    AND EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_open
                WHERE jobs.project = pipelines.project AND jobs.pipeline = pipelines.id AND jobs.open = 1 AND jobs.open > 0);
-- A report of zeros that no question was asked for may hide what expired before; so does one that was too large.
UPDATE pipelines SET summary_piece = 'missing'
WHERE report_piece = 'whole' AND report_builds = '[]'
    AND EXISTS (SELECT 1 FROM jobs WHERE jobs.project = pipelines.project AND jobs.pipeline = pipelines.id AND junit_hidden = 1);
UPDATE pipelines SET open = open | 2
WHERE gone = 0 AND phase <> 0 AND summary_piece = 'missing' AND report_piece <> 'missing'
    AND EXISTS (SELECT 1 FROM jobs AS job INDEXED BY jobs_junit
                WHERE job.project = pipelines.project AND job.pipeline = pipelines.id AND job.junit = 1
                AND NOT EXISTS (SELECT 1 FROM jobs AS later INDEXED BY jobs_of_pipeline
                                WHERE later.project = job.project AND later.pipeline = job.pipeline AND later.name = job.name
                                AND later.id > job.id));
