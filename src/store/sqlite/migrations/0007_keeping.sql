-- What a published blob is of: for what is stored by project, for what is oldest, and for forgetting at once.
ALTER TABLE blobs ADD COLUMN kind INTEGER;          -- 1 log, 2 archive, 3 report; NULL until it was published once
ALTER TABLE blobs ADD COLUMN project INTEGER;
ALTER TABLE blobs ADD COLUMN target INTEGER;        -- the job, or of a report the pipeline
ALTER TABLE blobs ADD COLUMN raw INTEGER;           -- how many bytes it is for readers
UPDATE blobs SET kind = 1, project = job.project, target = job.id, raw = job.log_size
FROM jobs AS job WHERE blobs.id = job.log_blob;
UPDATE blobs SET kind = 2, project = job.project, target = job.id, raw = job.archive_size
FROM jobs AS job WHERE blobs.id = job.archive_blob;
UPDATE blobs SET kind = 3, project = pipeline.project, target = pipeline.id, raw = pipeline.report_size
FROM pipelines AS pipeline WHERE blobs.id = pipeline.report_blob;
CREATE INDEX blobs_of ON blobs (kind, target) WHERE kind IS NOT NULL;

-- The checksum of a chunk, its blob and its number; NULL where it is older than checksums.
ALTER TABLE chunks ADD COLUMN sum INTEGER;

-- How many bytes GitLab delivered, where that is another number than log_size because secrets were masked.
ALTER TABLE jobs ADD COLUMN log_fetched INTEGER;

-- What a person told us to forget, so that nothing brings it back.
CREATE TABLE forgotten (
    project INTEGER NOT NULL,
    kind INTEGER NOT NULL,                          -- 0 project, 1 pipeline, 2 job
    target INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (project, kind, target)
) STRICT, WITHOUT ROWID;
