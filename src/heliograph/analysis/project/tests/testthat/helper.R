# Loads the project's functions, as _targets.R and run.R do, and makes small evaluations.

library(data.table)
library(ggplot2)

project <- normalizePath(file.path("..", ".."))
for (script in list.files(file.path(project, c("engine", "R")), "[.]R$", full.names = TRUE)) {
  source(script, local = FALSE)
}

#' Cells as read_metrics() returns them
make_cells <- function(value, n = 100, metric = "accuracy", dataset = "pairs", checkpoint = "final",
                       step = 100, tokens_seen = NA_real_, item_group = "a", form = "all",
                       field = NA_character_) {
  data.table(
    dataset, metric, checkpoint,
    step = as.numeric(step), tokens_seen, item_group, form, field, value, n
  )
}

make_evaluation <- function(metrics, predictions = NULL, ...) {
  checkpoints <- lapply(unique(metrics$checkpoint), function(name) list(name = name))
  list(
    experiment = "exp_1", metadata = list(token = "t-1", checkpoints = checkpoints, ...),
    training = NULL, config = read_config(), metrics = metrics, predictions = predictions
  )
}

#' Make a drive in a temporary folder; its name holds what shells, SQL and globs stumble over
make_paths <- function(envir = parent.frame()) {
  drive <- file.path(withr::local_tempdir(.local_envir = envir), "o'dd [drive] *")
  dir.create(file.path(drive, "evaluation", "exp_1"), recursive = TRUE)
  analysis_paths("exp_1", drive)
}
