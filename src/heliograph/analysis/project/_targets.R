# The analysis of one experiment, as a pipeline of targets: options, functions, then the list.
#
#   cd DRIVE/analysis
#   HELIOGRAPH_EXPERIMENT=EXPERIMENT Rscript run.R
#   HELIOGRAPH_EXPERIMENT=EXPERIMENT Rscript -e "targets::tar_make()"
#
# SHARED_DRIVE names the drive; without it, the folder above this one is the drive.
library(targets)

tar_option_set(packages = c("data.table", "ggplot2"), format = "rds", seed = 20260101L)
tar_source("R")

paths <- analysis_paths()

list(
  # What is read. `always`: a new file would not be noticed otherwise.
  tar_target(input_files, list_inputs(paths), format = "file", cue = tar_cue("always")),
  tar_target(result_files, list_results(paths), format = "file", cue = tar_cue("always")),
  tar_target(report_files, c("report.Rmd", "report.css"), format = "file"),

  # What is done with it.
  tar_target(load_evaluation_data, load_evaluation(input_files, result_files, paths)),
  tar_target(compute_statistics, summarise_evaluation(load_evaluation_data)),
  tar_target(generate_figures, draw_figures(compute_statistics, paths), format = "file"),
  tar_target(create_tables, write_tables(compute_statistics, paths), format = "file"),
  tar_target(
    render_report,
    write_report(report_files, compute_statistics, generate_figures, create_tables, paths),
    format = "file"
  ),
  tar_target(
    finalize_outputs,
    write_manifest(compute_statistics, generate_figures, create_tables, render_report, paths),
    format = "file"
  )
)
