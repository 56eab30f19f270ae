# Where everything of one experiment stands on the drive.

#' Find the experiment and its folders
#'
#' @param experiment The experiment's name.
#' @param drive The drive's root folder; if empty, the folder above `project`.
#' @param project The folder of `_targets.R`, DRIVE/analysis.
#' @return A list: `experiment` and, as absolute paths, `drive`, `evaluation`, `training` (a file),
#'   `config` (a file), `figures`, `tables`, `reports`.
analysis_paths <- function(experiment = Sys.getenv("HELIOGRAPH_EXPERIMENT"),
                           drive = Sys.getenv("SHARED_DRIVE"),
                           project = getwd()) {
  if (!grepl("^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", experiment, perl = TRUE)) {
    stop(
      "HELIOGRAPH_EXPERIMENT must name an experiment (letters, digits, . _ -), found \"",
      experiment, "\"",
      call. = FALSE
    )
  }
  root <- normalizePath(if (nzchar(drive)) drive else dirname(project), mustWork = TRUE)
  list(
    experiment = experiment,
    drive = root,
    evaluation = file.path(root, "evaluation", experiment),
    training = file.path(root, "models", experiment, "training_metadata.json"),
    config = file.path(root, "config", "analysis.yaml"),
    figures = file.path(root, "analysis", "figures", experiment),
    tables = file.path(root, "analysis", "tables", experiment),
    reports = file.path(root, "analysis", "reports", experiment)
  )
}
