-- name: add_output
-- One figure, table or report.
INSERT INTO analysis_outputs (analysis_job_id, output_type, output_path, created_at)
SELECT id, :output_type, :output_path, :at FROM analysis_jobs WHERE token = :token
ON CONFLICT (analysis_job_id, output_path) DO UPDATE SET created_at = excluded.created_at;

-- name: set_manifest
-- Where the manifest of the outputs stands, as the signal of that job tells.
UPDATE analysis_jobs SET targets_manifest_path = :manifest_path
WHERE experiment_name = :experiment AND slurm_job_id = :job_id;

-- name: outputs_of_job
-- Every output of one attempt.
SELECT * FROM analysis_outputs WHERE analysis_job_id = :job_id ORDER BY output_type, output_path;
