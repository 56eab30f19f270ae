-- The same for every stage that runs as a job; {jobs} is evaluation_jobs or analysis_jobs.

-- name: queue_attempt
-- The intent: one row an attempt, before anything is submitted. Where the databases were lost, its job may have
-- told of itself before, and stands there as one that nobody queued.
INSERT INTO {jobs} (experiment_name, {parent}, status, attempt, token, signal_sha256, queued_at, not_before,
    executor, resources, metadata)
VALUES (:experiment, :parent_id, 'queued', :attempt, :token, :signal_sha256, :at, :not_before, :executor,
    :resources, :metadata)
ON CONFLICT (token) DO UPDATE SET attempt = excluded.attempt, signal_sha256 = excluded.signal_sha256,
    executor = excluded.executor, resources = excluded.resources, metadata = excluded.metadata,
    {parent} = excluded.{parent}
WHERE {jobs}.executor = 'by hand';

-- name: followed
-- An attempt that waited for the next one waits no longer: there it is.
UPDATE {jobs} SET retry_at = NULL
WHERE experiment_name = :experiment AND retry_at IS NOT NULL AND token <> :token;

-- name: submit_attempt
-- The scheduler took the job. The id that the job itself told stays: it is the one that runs.
UPDATE {jobs} SET slurm_job_id = coalesce(slurm_job_id, :job_id), submitted_at = coalesce(submitted_at, :at),
    script_path = :script_path, log_path = coalesce(log_path, :log_path), scheduler_state = 'PENDING'
WHERE token = :token;

-- name: observe_attempt
-- The scheduler told something new, or the attempt has to wait longer.
UPDATE {jobs} SET scheduler_state = :state, pending_reason = :reason, nodes = coalesce(:nodes, nodes),
    not_before = coalesce(:not_before, not_before), restarts = coalesce(:restarts, restarts)
WHERE token = :token AND status IN ('queued', 'running');

-- name: start_attempt
-- The job claimed its attempt. A job that nobody queued (run by hand) makes its own row. The same job started
-- again begins anew, though the row says running; what an earlier start tells late does not count.
INSERT INTO {jobs} (experiment_name, status, attempt, token, signal_sha256, queued_at, submitted_at, started_at,
    executor, slurm_job_id, hostname, heartbeat_at)
VALUES (:experiment, 'running', 1, :token, :signal_sha256, :at, :at, :at, 'by hand', :job_id, :hostname, :at)
ON CONFLICT (token) DO UPDATE SET
    status = 'running', started_at = excluded.started_at, slurm_job_id = excluded.slurm_job_id,
    hostname = excluded.hostname, heartbeat_at = excluded.heartbeat_at, scheduler_state = 'RUNNING',
    pending_reason = NULL, submitted_at = coalesce({jobs}.submitted_at, excluded.submitted_at),
    restarts = CASE WHEN :restarts > 0 THEN :restarts ELSE {jobs}.restarts END,
    exit_code = NULL, error_message = NULL, metadata = json_remove({jobs}.metadata, '$.error_tail')
WHERE {jobs}.status = 'queued' OR ({jobs}.status = 'running' AND :part IS NULL
    AND :restarts > 0 AND :restarts >= coalesce({jobs}.restarts, 0));

-- name: beat_attempt
-- The job lives.
UPDATE {jobs} SET heartbeat_at = :at, progress_done = coalesce(:done, progress_done),
    progress_total = coalesce(:total, progress_total)
WHERE token = :token AND status IN ('queued', 'running');

-- name: link_run
-- The MLflow run of the attempt.
UPDATE {jobs} SET mlflow_run_id = :mlflow_run_id WHERE token = :token;

-- name: end_job
-- The job's own word of how its work ended; the verdict is the watcher's. An earlier start of a job that was
-- started again has no say.
UPDATE {jobs} SET exit_code = :exit_code, error_message = coalesce(:error_message, error_message),
    metadata = json_set(metadata, '$.error_tail', json(:error_tail)), heartbeat_at = :at
WHERE token = :token AND status IN ('queued', 'running') AND :restarts >= coalesce(restarts, 0);

-- name: fail_part
-- One part of a job array failed; the others go on. What it says is kept for the verdict on the whole.
UPDATE {jobs} SET error_message = :part || ': ' || :error_message,
    metadata = json_set(metadata, '$.error_tail', json(:error_tail)), heartbeat_at = :at
WHERE token = :token AND status IN ('queued', 'running') AND exit_code IS NULL;

-- name: end_job_by_hand
-- A job that nobody queued has no watcher to judge it.
UPDATE {jobs} SET status = CASE WHEN :exit_code = 0 THEN 'completed' ELSE 'failed' END, completed_at = :at,
    failure_class = CASE WHEN :exit_code = 0 THEN NULL ELSE 'permanent' END
WHERE token = :token AND executor = 'by hand' AND status IN ('queued', 'running');

-- name: conclude_attempt
-- The verdict. Final states never leave.
UPDATE {jobs} SET status = :status, completed_at = :at, failure_class = :failure_class, retry_at = :retry_at,
    exit_code = coalesce(:exit_code, exit_code), nodes = coalesce(:nodes, nodes),
    error_message = CASE WHEN :status = 'failed' THEN coalesce(:reason, error_message) END
WHERE token = :token AND status IN ('queued', 'running');

-- name: ask_retry
-- Somebody wants the last attempt followed by another now; or, while it waits to be submitted, no more waiting.
UPDATE {jobs} SET requested_by = :by, requested_resources = :resources,
    retry_at = CASE WHEN status = 'failed' OR (status = 'completed' AND :force) THEN :at ELSE retry_at END,
    not_before = CASE WHEN status = 'queued' THEN :at ELSE not_before END
WHERE id = (SELECT max(id) FROM {jobs} WHERE experiment_name = :experiment AND executor <> 'by hand');

-- name: ask_cancel
-- Somebody wants the last attempt ended, and none to follow it.
UPDATE {jobs} SET requested_by = :by, retry_at = NULL,
    cancel_requested_at = CASE WHEN status IN ('queued', 'running') THEN :at ELSE cancel_requested_at END
WHERE id = (SELECT max(id) FROM {jobs} WHERE experiment_name = :experiment AND executor <> 'by hand');

-- name: job_by_token
-- One attempt.
SELECT * FROM {jobs} WHERE token = :token;

-- name: last_attempt
-- The latest attempt that an experiment has.
SELECT * FROM {jobs} WHERE experiment_name = :experiment AND executor <> 'by hand' ORDER BY id DESC LIMIT 1;

-- name: attempts_of_signal
-- How many attempts this content of the trigger has had; what somebody did by hand is none.
SELECT coalesce(max(attempt), 0) AS attempts FROM {jobs}
WHERE experiment_name = :experiment AND signal_sha256 = :sha256 AND executor <> 'by hand';

-- name: experiments_with_open_work
-- Experiments with an attempt that has not ended, or that ended and will be followed by another.
SELECT experiment_name FROM {jobs} WHERE status IN ('queued', 'running') AND executor <> 'by hand'
UNION
SELECT experiment_name FROM {jobs} WHERE retry_at IS NOT NULL;

-- name: open_work
-- The same as open_attempts, but only what each pass needs.
SELECT experiment_name, token, executor, slurm_job_id, json_extract(metadata, '$.input_path') AS input_path
FROM {jobs}
WHERE status IN ('queued', 'running') AND executor <> 'by hand' ORDER BY id;

-- name: had_attempts
-- Of some experiments, a JSON list, each content of the trigger that has had an attempt.
SELECT DISTINCT experiment_name, signal_sha256 FROM {jobs}
WHERE executor <> 'by hand' AND experiment_name IN (SELECT value FROM json_each(:experiments));

-- name: open_attempts
-- Attempts that have not ended, in the order in which they were queued.
SELECT * FROM {jobs} WHERE status IN ('queued', 'running') AND executor <> 'by hand' ORDER BY id;

-- name: superseded_attempts
-- Attempts that ended and are followed by one that is not submitted yet.
SELECT earlier.token FROM {jobs} later JOIN {jobs} earlier
ON earlier.experiment_name = later.experiment_name AND earlier.id < later.id
WHERE later.status = 'queued' AND later.slurm_job_id IS NULL AND later.executor <> 'by hand'
    AND earlier.status IN ('completed', 'failed') AND earlier.executor <> 'by hand';

-- name: jobs
-- All attempts, the latest first.
SELECT * FROM {jobs} ORDER BY id DESC;

-- name: jobs_of
-- All attempts of an experiment, in order.
SELECT * FROM {jobs} WHERE experiment_name = :experiment ORDER BY id;
