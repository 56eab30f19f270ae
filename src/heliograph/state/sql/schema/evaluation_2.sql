-- What people ask of an attempt, and where and how often the scheduler ran it.
ALTER TABLE evaluation_jobs ADD COLUMN nodes TEXT;
ALTER TABLE evaluation_jobs ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE evaluation_jobs ADD COLUMN cancel_requested_at TIMESTAMP;
ALTER TABLE evaluation_jobs ADD COLUMN requested_by TEXT;
ALTER TABLE evaluation_jobs ADD COLUMN requested_resources TEXT NOT NULL DEFAULT '{}';
