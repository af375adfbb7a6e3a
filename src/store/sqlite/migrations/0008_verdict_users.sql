-- Whose token it is, as GitLab shows them to themselves: kept no longer than the verdict.
ALTER TABLE verdicts ADD COLUMN user TEXT;
