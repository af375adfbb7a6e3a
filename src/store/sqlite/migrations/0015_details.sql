-- A pipeline's own document, which tells more than its row of the listing. What earlier versions cached lacks it: full passes fetch it.
ALTER TABLE pipelines ADD COLUMN detail_piece TEXT NOT NULL DEFAULT 'missing';
ALTER TABLE pipelines ADD COLUMN detail_refused_at INTEGER;
CREATE INDEX details_refused ON pipelines (project, detail_refused_at, id) WHERE detail_piece = 'forbidden';
CREATE TABLE details (
    project INTEGER NOT NULL,
    pipeline INTEGER NOT NULL,
    as_of INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (project, pipeline)
) STRICT;
UPDATE pipelines SET open = open | 8 WHERE gone = 0;

-- Journal and failures know more kinds.
DROP VIEW work_list;
CREATE VIEW work_list AS
SELECT id AS entry, CASE kind WHEN 1 THEN 'pipeline' WHEN 2 THEN 'job' WHEN 3 THEN 'report' WHEN 9 THEN 'detail' ELSE 'bridges' END AS kind,
       project, target, CASE lane WHEN 0 THEN 'live' ELSE 'backfill' END AS lane, attempts, running,
       datetime(due / 1000, 'unixepoch') AS due
FROM journal;

-- The tallies tell its state too.
DROP TRIGGER pipeline_added;
DROP TRIGGER pipeline_changed;
DROP TRIGGER pipeline_removed;
DROP TABLE pipeline_tallies;
CREATE TABLE pipeline_tallies (
    project INTEGER NOT NULL,
    child INTEGER NOT NULL,
    status TEXT NOT NULL,
    report_piece TEXT NOT NULL,
    detail_piece TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (project, child, status, report_piece, detail_piece)
) STRICT, WITHOUT ROWID;
INSERT INTO pipeline_tallies
SELECT project, source IS 'parent_pipeline', status, report_piece, detail_piece, count(*) FROM pipelines GROUP BY 1, 2, 3, 4, 5;

CREATE TRIGGER pipeline_added AFTER INSERT ON pipelines BEGIN
    INSERT INTO pipeline_tallies
    VALUES (new.project, new.source IS 'parent_pipeline', new.status, new.report_piece, new.detail_piece, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
    INSERT INTO ref_tallies
    SELECT new.project, new.ref, new.source IS 'parent_pipeline', new.status, 1 WHERE new.ref IS NOT NULL
    ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER pipeline_changed AFTER UPDATE OF source, status, report_piece, detail_piece, ref ON pipelines
WHEN (old.source IS 'parent_pipeline', old.status, old.report_piece, old.detail_piece)
        <> (new.source IS 'parent_pipeline', new.status, new.report_piece, new.detail_piece)
    OR old.ref IS NOT new.ref
BEGIN
    UPDATE pipeline_tallies SET count = count - 1
    WHERE project = old.project AND child = (old.source IS 'parent_pipeline') AND status = old.status
        AND report_piece = old.report_piece AND detail_piece = old.detail_piece;
    UPDATE ref_tallies SET count = count - 1
    WHERE project = old.project AND ref = old.ref AND child = (old.source IS 'parent_pipeline') AND status = old.status;
    INSERT INTO pipeline_tallies
    VALUES (new.project, new.source IS 'parent_pipeline', new.status, new.report_piece, new.detail_piece, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
    INSERT INTO ref_tallies
    SELECT new.project, new.ref, new.source IS 'parent_pipeline', new.status, 1 WHERE new.ref IS NOT NULL
    ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER pipeline_removed AFTER DELETE ON pipelines BEGIN
    UPDATE pipeline_tallies SET count = count - 1
    WHERE project = old.project AND child = (old.source IS 'parent_pipeline') AND status = old.status
        AND report_piece = old.report_piece AND detail_piece = old.detail_piece;
    UPDATE ref_tallies SET count = count - 1
    WHERE project = old.project AND ref = old.ref AND child = (old.source IS 'parent_pipeline') AND status = old.status;
    -- There is no end to the names of branches.
    DELETE FROM ref_tallies WHERE project = old.project AND ref = old.ref AND count = 0;
END;
