-- When GitLab last refused a piece to the token, so that the one that waits longest is asked for first; none for those that were
-- refused before this was noted.
ALTER TABLE jobs ADD COLUMN refused_at INTEGER;
ALTER TABLE pipelines ADD COLUMN refused_at INTEGER;
CREATE INDEX jobs_refused ON jobs (project, refused_at, id) WHERE log_piece = 'forbidden' OR archive_piece = 'forbidden';
CREATE INDEX pipelines_refused ON pipelines (project, refused_at, id) WHERE report_piece = 'forbidden' OR summary_piece = 'forbidden';
