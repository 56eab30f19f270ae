-- One row an attempt. `evaluation_job_id` points into evaluation.db: SQLite has no foreign keys across files.
CREATE TABLE analysis_jobs (
    id                    INTEGER PRIMARY KEY,
    experiment_name       TEXT NOT NULL,
    evaluation_job_id     INTEGER,
    status                TEXT NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed')),
    slurm_job_id          TEXT,
    submitted_at          TIMESTAMP,
    started_at            TIMESTAMP,
    completed_at          TIMESTAMP,
    targets_manifest_path TEXT,
    error_message         TEXT,
    -- beyond the specification: as in evaluation_jobs
    mlflow_run_id         TEXT,
    metadata              TEXT NOT NULL DEFAULT '{}',
    attempt               INTEGER NOT NULL,
    token                 TEXT NOT NULL UNIQUE,
    signal_sha256         TEXT,
    queued_at             TIMESTAMP NOT NULL,
    not_before            TIMESTAMP,
    executor              TEXT NOT NULL,
    hostname              TEXT,
    resources             TEXT NOT NULL DEFAULT '{}',
    scheduler_state       TEXT,
    pending_reason        TEXT,
    exit_code             INTEGER,
    failure_class         TEXT,
    retry_at              TIMESTAMP,
    heartbeat_at          TIMESTAMP,
    progress_done         INTEGER,
    progress_total        INTEGER,
    script_path           TEXT,
    log_path              TEXT
);
CREATE INDEX analysis_jobs_by_experiment ON analysis_jobs (experiment_name, id);
CREATE INDEX analysis_jobs_to_retry ON analysis_jobs (experiment_name) WHERE retry_at IS NOT NULL;
CREATE INDEX analysis_jobs_open ON analysis_jobs (status) WHERE status IN ('queued', 'running');

CREATE TABLE analysis_outputs (
    id              INTEGER PRIMARY KEY,
    analysis_job_id INTEGER NOT NULL REFERENCES analysis_jobs (id),
    output_type     TEXT NOT NULL,
    output_path     TEXT NOT NULL,
    created_at      TIMESTAMP NOT NULL,
    UNIQUE (analysis_job_id, output_path)
);
