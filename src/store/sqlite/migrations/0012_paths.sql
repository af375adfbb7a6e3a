-- Which project each path led to last: a former path leads to its project until another one takes it.
CREATE TABLE paths (
    path TEXT NOT NULL COLLATE NOCASE PRIMARY KEY,
    project INTEGER NOT NULL,
    as_of INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT OR REPLACE INTO paths SELECT path, id, as_of FROM projects ORDER BY as_of;
