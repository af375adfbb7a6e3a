-- What readers' looks at the listings of pipelines showed: one row for each of a project's two listings.
CREATE TABLE listings (
    project INTEGER NOT NULL,
    source INTEGER NOT NULL,            -- 0: plain, 1: child pipelines
    as_of INTEGER NOT NULL,
    since INTEGER NOT NULL,             -- everything updated since was in it
    PRIMARY KEY (project, source)
) STRICT, WITHOUT ROWID;
