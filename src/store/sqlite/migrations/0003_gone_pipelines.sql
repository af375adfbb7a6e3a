-- GitLab deleted it: nothing of it can be fetched any more, and nothing is missed.
ALTER TABLE pipelines ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
