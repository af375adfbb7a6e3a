-- Times are milliseconds since the Unix epoch; the views at the end show them as text.

CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL COLLATE NOCASE,
    as_of INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE INDEX projects_by_path ON projects (path);

CREATE TABLE pipelines (
    project INTEGER NOT NULL,
    id INTEGER NOT NULL,
    status TEXT NOT NULL,
    phase INTEGER NOT NULL,             -- 0 active, 1 blocked, 2 ended
    open INTEGER NOT NULL,              -- sum of: 1 a piece is live, 2 a piece is missing or failed, 4 not ended
    source TEXT,
    ref TEXT,
    sha TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    as_of INTEGER NOT NULL,
    jobs_listed_at INTEGER,
    report_piece TEXT NOT NULL DEFAULT 'missing',
    report_blob INTEGER,
    report_size INTEGER NOT NULL DEFAULT 0,
    report_total INTEGER NOT NULL DEFAULT 0,
    report_looks INTEGER NOT NULL DEFAULT 0,
    report_last_look INTEGER,
    report_builds TEXT NOT NULL DEFAULT '[]',
    report_summary TEXT,
    doc TEXT NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;
CREATE INDEX pipelines_listed ON pipelines (project, id, source, status, ref, sha);
CREATE INDEX pipelines_open ON pipelines (project, id) WHERE open > 0;

CREATE TABLE jobs (
    project INTEGER NOT NULL,
    id INTEGER NOT NULL,
    pipeline INTEGER NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    ended INTEGER NOT NULL,
    started INTEGER NOT NULL,           -- it ran, so a log is expected
    archived INTEGER NOT NULL,          -- GitLab lists an archive, so one is expected
    junit INTEGER NOT NULL,
    open INTEGER NOT NULL,              -- 2 a piece of an ended job is missing or failed, 1 its log is live, 0 nothing to do
    as_of INTEGER NOT NULL,
    log_piece TEXT NOT NULL DEFAULT 'missing',
    log_blob INTEGER,
    log_size INTEGER NOT NULL DEFAULT 0,
    log_looks INTEGER NOT NULL DEFAULT 0,
    log_first_look INTEGER,
    log_last_look INTEGER,
    log_mismatch_since INTEGER,
    log_note TEXT,
    archive_piece TEXT NOT NULL DEFAULT 'missing',
    archive_blob INTEGER,
    archive_size INTEGER NOT NULL DEFAULT 0,
    archive_sha256 BLOB,
    log_frames BLOB NOT NULL DEFAULT x'',   -- compressed length of each frame, u32 little-endian
    doc TEXT NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;
CREATE INDEX jobs_of_pipeline ON jobs (project, pipeline, name, id, status);
CREATE INDEX jobs_open ON jobs (project, pipeline, open, id) WHERE open > 0;
CREATE INDEX jobs_junit ON jobs (project, pipeline, name, id) WHERE junit = 1;

-- A blob has an owner until something points to it; replaced_at is when nothing did any more.
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER,
    size INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    replaced_at INTEGER
) STRICT;
CREATE INDEX blobs_unpublished ON blobs (owner) WHERE owner IS NOT NULL;
CREATE INDEX blobs_replaced ON blobs (replaced_at) WHERE replaced_at IS NOT NULL;

CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,             -- blob << 20 | number
    data BLOB NOT NULL
) STRICT;

CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,             -- the process that works on it; others take it over when that is gone
    kind INTEGER NOT NULL,              -- 1 pipeline, 2 job, 3 report
    project INTEGER NOT NULL,
    target INTEGER NOT NULL,
    lane INTEGER NOT NULL,              -- 0 live, 1 backfill
    cause INTEGER NOT NULL,             -- 0 ended, 1 changed, 2 planned, 3 look, 4 full
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    deaths INTEGER NOT NULL DEFAULT 0,
    running INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX journal_in_order ON journal (owner, lane, due);

CREATE TABLE failures (
    project INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    target INTEGER NOT NULL,
    problem TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (project, kind, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE marks (project INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;

CREATE TABLE progress (
    project INTEGER PRIMARY KEY,
    watermark INTEGER NOT NULL,
    covered_since INTEGER NOT NULL,
    full_pass_at INTEGER
) STRICT;

CREATE TABLE processes (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    share INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    lease INTEGER NOT NULL,             -- how long it may be silent
    seen INTEGER NOT NULL
) STRICT;

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner INTEGER,
    fence INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- For a person with sqlite3.
CREATE VIEW job_list AS
SELECT project, pipeline, id AS job, name, status, log_piece AS log, log_size, archive_piece AS archive, archive_size,
       datetime(as_of / 1000, 'unixepoch') AS as_of
FROM jobs;
CREATE VIEW pipeline_list AS
SELECT project, id AS pipeline, status, ref, sha, source, report_piece AS report, report_total AS tests,
       datetime(created_at / 1000, 'unixepoch') AS created_at, datetime(updated_at / 1000, 'unixepoch') AS updated_at,
       datetime(jobs_listed_at / 1000, 'unixepoch') AS jobs_listed_at
FROM pipelines;
CREATE VIEW work_list AS
SELECT id AS entry, CASE kind WHEN 1 THEN 'pipeline' WHEN 2 THEN 'job' ELSE 'report' END AS kind, project, target,
       CASE lane WHEN 0 THEN 'live' ELSE 'backfill' END AS lane, attempts, running,
       datetime(due / 1000, 'unixepoch') AS due
FROM journal;
