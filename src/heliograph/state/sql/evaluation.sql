-- name: set_checkpoint
-- Which checkpoint the attempt evaluates.
UPDATE evaluation_jobs SET checkpoint_path = :input_path WHERE token = :token;

-- name: add_result
-- One number of one data set and checkpoint.
INSERT INTO evaluation_results (evaluation_job_id, dataset_name, metric_name, metric_value, evaluated_at, checkpoint)
SELECT id, :dataset, :metric, :value, :at, :checkpoint FROM evaluation_jobs WHERE token = :token
ON CONFLICT (evaluation_job_id, dataset_name, checkpoint, metric_name) DO UPDATE SET
    metric_value = excluded.metric_value, evaluated_at = excluded.evaluated_at;

-- name: results_of_job
-- Every number of one attempt.
SELECT * FROM evaluation_results WHERE evaluation_job_id = :job_id ORDER BY dataset_name, metric_name, id;
