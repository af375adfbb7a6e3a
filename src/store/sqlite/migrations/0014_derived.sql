-- Logs by the version of their index, which is its first byte: what an older version made is found without the others.
CREATE INDEX IF NOT EXISTS jobs_by_log_index ON jobs (substr(log_index, 1, 1), id) WHERE log_blob IS NOT NULL;
