-- What may have killed a process: 1 is worked on without another suspect beside it, 2 alone.
ALTER TABLE journal ADD COLUMN suspicion INTEGER NOT NULL DEFAULT 0;
