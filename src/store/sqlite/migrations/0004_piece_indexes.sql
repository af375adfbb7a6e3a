-- Where the parts of a log and of an archive are, as the modules `log` and `archive` encode it; empty for those that were
-- stored before, whose parts are found by reading them.
ALTER TABLE jobs ADD COLUMN log_index BLOB NOT NULL DEFAULT x'';
ALTER TABLE jobs ADD COLUMN archive_index BLOB NOT NULL DEFAULT x'';
