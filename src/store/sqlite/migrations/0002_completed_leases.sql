-- When the work under a lease was last completed, so that the processes on one store share a rhythm.
ALTER TABLE leases ADD COLUMN completed INTEGER;
