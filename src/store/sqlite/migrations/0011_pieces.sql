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
