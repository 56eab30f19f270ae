-- name: start_training
-- A training run began. Starting an experiment again takes over its row, and forgets how the last run ended.
INSERT INTO training_runs (experiment_name, status, started_at, config_path, hostname, user, mlflow_run_id, metadata, run, heartbeat_at)
VALUES (:experiment, 'started', :at, :config_path, :hostname, :user, :mlflow_run_id, :metadata, :run, :at)
ON CONFLICT (experiment_name) DO UPDATE SET
    status = 'started', started_at = excluded.started_at, completed_at = NULL, checkpoint_path = NULL,
    config_path = excluded.config_path, hostname = excluded.hostname, user = excluded.user,
    mlflow_run_id = excluded.mlflow_run_id, metadata = excluded.metadata, run = excluded.run,
    step = NULL, total_steps = NULL, heartbeat_at = excluded.heartbeat_at, error_message = NULL
WHERE training_runs.run IS NOT excluded.run;

-- name: beat_training
-- A training run lives. What comes late, after its end, changes nothing.
UPDATE training_runs SET status = 'running', heartbeat_at = :at, step = :step,
    total_steps = coalesce(:total_steps, total_steps)
WHERE experiment_name = :experiment AND run = :run AND status IN ('started', 'running');

-- name: add_checkpoint
-- A checkpoint of the run that the experiment has now.
INSERT INTO checkpoints (training_run_id, checkpoint_path, step, epoch, created_at, metrics, size_bytes)
SELECT id, :checkpoint_path, :step, :epoch, :at, :metrics, :size_bytes
FROM training_runs WHERE experiment_name = :experiment
ON CONFLICT (training_run_id, checkpoint_path) DO UPDATE SET
    step = excluded.step, epoch = excluded.epoch, created_at = excluded.created_at,
    metrics = excluded.metrics, size_bytes = excluded.size_bytes;

-- name: complete_training
-- A run ended well, as the run itself tells. The signal may have been seen before; its time then stays.
UPDATE training_runs SET status = 'completed', completed_at = coalesce(completed_at, :at), checkpoint_path = :checkpoint_path,
    mlflow_run_id = coalesce(:mlflow_run_id, mlflow_run_id), metadata = :metadata,
    step = coalesce(total_steps, step), error_message = NULL
WHERE experiment_name = :experiment AND run = :run AND status IN ('started', 'running', 'completed');

-- name: complete_training_by_signal
-- The signal tells of the end; it may be all that there is, when another tool wrote it.
INSERT INTO training_runs (experiment_name, status, completed_at, checkpoint_path, config_path, hostname, user)
VALUES (:experiment, 'completed', :timestamp, :checkpoint_path, :config_path, :hostname, :user)
ON CONFLICT (experiment_name) DO UPDATE SET
    status = 'completed', completed_at = excluded.completed_at,
    checkpoint_path = excluded.checkpoint_path, hostname = excluded.hostname, user = excluded.user,
    config_path = coalesce(excluded.config_path, training_runs.config_path), error_message = NULL
WHERE training_runs.started_at IS NULL OR training_runs.started_at <= excluded.completed_at;

-- name: fail_training
-- A run ended badly.
UPDATE training_runs SET status = 'failed', completed_at = :at, error_message = :error_message
WHERE experiment_name = :experiment AND run = :run AND status IN ('started', 'running');

-- name: training_run
-- The run of an experiment.
SELECT * FROM training_runs WHERE experiment_name = :experiment;

-- name: training_runs
-- All runs, the latest first.
SELECT * FROM training_runs ORDER BY coalesce(started_at, completed_at) DESC, id DESC;

-- name: open_training_runs
-- Runs that have not ended.
SELECT experiment_name FROM training_runs WHERE status IN ('started', 'running');

-- name: experiments_with_signal
-- Experiments whose training signal was accepted.
SELECT DISTINCT experiment FROM signals WHERE status = 'accepted';

-- name: checkpoints
-- The checkpoints of an experiment, by step.
SELECT c.* FROM checkpoints c JOIN training_runs r ON r.id = c.training_run_id
WHERE r.experiment_name = :experiment ORDER BY c.step, c.id;
