-- What GitLab said about readers. Tokens are kept as hashes under the key of `access_key` only.
CREATE TABLE access_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    key BLOB NOT NULL
) STRICT;

CREATE TABLE verdicts (
    token BLOB NOT NULL,
    about TEXT NOT NULL,
    answer TEXT NOT NULL,
    project INTEGER,                    -- where a path leads
    asked INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (token, about)
) STRICT, WITHOUT ROWID;
CREATE INDEX verdicts_expired ON verdicts (expires);
