-- What lists are chosen and sorted by, in indexes that answer them without reading documents.
ALTER TABLE pipelines ADD COLUMN name TEXT;
ALTER TABLE pipelines ADD COLUMN tag INTEGER;    -- whether it ran for a tag; NULL when nothing told
UPDATE pipelines SET name = json_extract(doc, '$.name'),
    tag = (SELECT json_extract(jobs.doc, '$.tag') FROM jobs
           WHERE jobs.project = pipelines.project AND jobs.pipeline = pipelines.id LIMIT 1);
DROP INDEX pipelines_listed;
CREATE INDEX pipelines_by_id ON pipelines (project, id, source, status, ref, sha, name, tag, created_at, updated_at);
CREATE INDEX pipelines_by_update
    ON pipelines (project, updated_at, id, source, status, ref, sha, name, tag, created_at);
CREATE INDEX pipelines_by_report ON pipelines (project, status, report_piece);

CREATE INDEX jobs_by_status ON jobs (project, status, id, started, archived, log_piece, archive_piece);

ALTER TABLE projects ADD COLUMN facts TEXT;      -- JSON; NULL when an earlier version wrote the row
CREATE INDEX projects_listed ON projects (id, facts);

-- A pipeline's trigger jobs, as GitLab listed them when a reader asked for them.
CREATE TABLE bridges (
    project INTEGER NOT NULL,
    pipeline INTEGER NOT NULL,
    as_of INTEGER NOT NULL,
    doc TEXT NOT NULL,                  -- a JSON array
    PRIMARY KEY (project, pipeline)
) STRICT;

-- Journal and failures know a fourth kind, 4 bridges.
DROP VIEW work_list;
CREATE VIEW work_list AS
SELECT id AS entry, CASE kind WHEN 1 THEN 'pipeline' WHEN 2 THEN 'job' WHEN 3 THEN 'report' ELSE 'bridges' END AS kind,
       project, target, CASE lane WHEN 0 THEN 'live' ELSE 'backfill' END AS lane, attempts, running,
       datetime(due / 1000, 'unixepoch') AS due
FROM journal;
