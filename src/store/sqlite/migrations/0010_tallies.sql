-- How many jobs and pipelines are in which state, so that nobody has to count them: triggers keep it right whatever is written.
CREATE TABLE job_tallies (
    project INTEGER NOT NULL,
    status TEXT NOT NULL,
    started INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    log_piece TEXT NOT NULL,
    archive_piece TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (project, status, started, archived, log_piece, archive_piece)
) STRICT, WITHOUT ROWID;
INSERT INTO job_tallies
SELECT project, status, started, archived, log_piece, archive_piece, count(*) FROM jobs GROUP BY 1, 2, 3, 4, 5, 6;

CREATE TRIGGER job_added AFTER INSERT ON jobs BEGIN
    INSERT INTO job_tallies
    VALUES (new.project, new.status, new.started, new.archived, new.log_piece, new.archive_piece, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER job_changed AFTER UPDATE OF status, started, archived, log_piece, archive_piece ON jobs
WHEN (old.status, old.started, old.archived, old.log_piece, old.archive_piece)
    <> (new.status, new.started, new.archived, new.log_piece, new.archive_piece)
BEGIN
    UPDATE job_tallies SET count = count - 1
    WHERE project = old.project AND status = old.status AND started = old.started AND archived = old.archived
        AND log_piece = old.log_piece AND archive_piece = old.archive_piece;
    INSERT INTO job_tallies
    VALUES (new.project, new.status, new.started, new.archived, new.log_piece, new.archive_piece, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER job_removed AFTER DELETE ON jobs BEGIN
    UPDATE job_tallies SET count = count - 1
    WHERE project = old.project AND status = old.status AND started = old.started AND archived = old.archived
        AND log_piece = old.log_piece AND archive_piece = old.archive_piece;
END;

CREATE TABLE pipeline_tallies (
    project INTEGER NOT NULL,
    child INTEGER NOT NULL,                         -- lists leave child pipelines out unless they are asked for
    status TEXT NOT NULL,
    report_piece TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (project, child, status, report_piece)
) STRICT, WITHOUT ROWID;
INSERT INTO pipeline_tallies
SELECT project, source IS 'parent_pipeline', status, report_piece, count(*) FROM pipelines GROUP BY 1, 2, 3, 4;

-- The same of each ref, as far as lists of one ref are counted.
CREATE TABLE ref_tallies (
    project INTEGER NOT NULL,
    ref TEXT NOT NULL,
    child INTEGER NOT NULL,
    status TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (project, ref, child, status)
) STRICT, WITHOUT ROWID;
INSERT INTO ref_tallies
SELECT project, ref, source IS 'parent_pipeline', status, count(*) FROM pipelines WHERE ref IS NOT NULL GROUP BY 1, 2, 3, 4;

CREATE TRIGGER pipeline_added AFTER INSERT ON pipelines BEGIN
    INSERT INTO pipeline_tallies VALUES (new.project, new.source IS 'parent_pipeline', new.status, new.report_piece, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
    INSERT INTO ref_tallies
    SELECT new.project, new.ref, new.source IS 'parent_pipeline', new.status, 1 WHERE new.ref IS NOT NULL
    ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER pipeline_changed AFTER UPDATE OF source, status, report_piece, ref ON pipelines
WHEN (old.source IS 'parent_pipeline', old.status, old.report_piece)
        <> (new.source IS 'parent_pipeline', new.status, new.report_piece)
    OR old.ref IS NOT new.ref
BEGIN
    UPDATE pipeline_tallies SET count = count - 1
    WHERE project = old.project AND child = (old.source IS 'parent_pipeline') AND status = old.status
        AND report_piece = old.report_piece;
    UPDATE ref_tallies SET count = count - 1
    WHERE project = old.project AND ref = old.ref AND child = (old.source IS 'parent_pipeline') AND status = old.status;
    INSERT INTO pipeline_tallies VALUES (new.project, new.source IS 'parent_pipeline', new.status, new.report_piece, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
    INSERT INTO ref_tallies
    SELECT new.project, new.ref, new.source IS 'parent_pipeline', new.status, 1 WHERE new.ref IS NOT NULL
    ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER pipeline_removed AFTER DELETE ON pipelines BEGIN
    UPDATE pipeline_tallies SET count = count - 1
    WHERE project = old.project AND child = (old.source IS 'parent_pipeline') AND status = old.status
        AND report_piece = old.report_piece;
    UPDATE ref_tallies SET count = count - 1
    WHERE project = old.project AND ref = old.ref AND child = (old.source IS 'parent_pipeline') AND status = old.status;
    -- There is no end to the names of branches.
    DELETE FROM ref_tallies WHERE project = old.project AND ref = old.ref AND count = 0;
END;

-- An index for each thing that lists are chosen or sorted by: a rare one is not looked for among all rows.
DROP INDEX jobs_by_status;
CREATE INDEX jobs_by_status ON jobs (project, status, id);
DROP INDEX pipelines_by_report;
CREATE INDEX pipelines_by_status ON pipelines (project, status, id, source, created_at);
CREATE INDEX pipelines_by_ref ON pipelines (project, ref, id, source, status, tag, created_at);
CREATE INDEX pipelines_by_sha ON pipelines (project, sha, id);
CREATE INDEX pipelines_by_source ON pipelines (project, source, id, status, created_at);
CREATE INDEX pipelines_by_name ON pipelines (project, name, id) WHERE name IS NOT NULL;
CREATE INDEX pipelines_of_tags ON pipelines (project, ref, id, source) WHERE tag = 1;
