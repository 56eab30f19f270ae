# What the report says of where its numbers come from. Metadata was written by other programs: every
# field may be missing.

#' Read a field of nested metadata as text
#'
#' @param values A nested list.
#' @param ... The names that lead to the field.
#' @return Text, or `NULL`.
field_of <- function(values, ...) {
  for (name in c(...)) {
    if (!is.list(values) || is.null(values[[name]])) {
      return(NULL)
    }
    values <- values[[name]]
  }
  if (is.numeric(values)) number(values) else paste(unlist(values), collapse = ", ")
}

#' Shorten a checksum or commit to what tells it apart
short_hash <- function(hash, digits = 12) {
  if (!is.null(hash)) substr(hash, 1, digits)
}

when <- function(text) {
  if (!is.null(text)) sub("[.][0-9]+", "", sub("T", " ", sub("Z$", " UTC", text)))
}

versions_of <- function(versions) {
  if (length(versions) > 0) paste(names(versions), unlist(versions), collapse = ", ")
}

evaluation_facts <- function(metadata) {
  list(
    "Job" = field_of(metadata, "job_id"),
    "Attempt" = field_of(metadata, "token"),
    "Started" = when(field_of(metadata, "started_at")),
    "Completed" = when(field_of(metadata, "completed_at")),
    "Host" = field_of(metadata, "provenance", "host"),
    "Configuration (SHA-256)" = short_hash(field_of(metadata, "provenance", "config_sha256"), 16),
    "Software" = versions_of(metadata$provenance$versions),
    "MLflow run" = field_of(metadata, "mlflow", "run_id")
  )
}

training_facts <- function(training) {
  list(
    "Run" = field_of(training, "run"),
    "Started" = when(field_of(training, "started_at")),
    "Completed" = when(field_of(training, "completed_at")),
    "Host" = field_of(training, "hostname"),
    "Steps" = field_of(training, "total_steps"),
    "Epochs" = field_of(training, "num_epochs"),
    "Final loss" = field_of(training, "final_loss"),
    "Code (git commit)" = field_of(training, "git_commit"),
    "Software" = versions_of(training$versions),
    "MLflow run" = field_of(training, "mlflow", "run_id")
  )
}

dataset_table <- function(metadata) {
  rows <- lapply(metadata$datasets, function(dataset) {
    data.table(
      "Data set" = or_empty(field_of(dataset, "name")),
      Task = or_empty(field_of(dataset, "task")),
      Metrics = or_empty(field_of(dataset, "metrics")),
      Items = or_empty(field_of(dataset, "n_items")),
      "SHA-256" = or_empty(short_hash(field_of(dataset, "sha256"), 16))
    )
  })
  rbindlist(rows)
}

checkpoint_table <- function(statistics) {
  hashes <- statistics$metadata$provenance$model_sha256
  checkpoints <- statistics$checkpoints
  shown <- data.table(
    Checkpoint = checkpoints$checkpoint, Step = checkpoints$step,
    "Tokens seen" = checkpoints$tokens_seen,
    "Model (SHA-256)" = vapply(checkpoints$checkpoint, function(name) {
      if (is.null(hashes[[name]])) NA_character_ else short_hash(hashes[[name]], 16)
    }, character(1), USE.NAMES = FALSE)
  )
  drop_empty(shown, c("Step", "Tokens seen", "Model (SHA-256)"))
}

or_empty <- function(text) {
  if (is.null(text)) "" else text
}

software_facts <- function() {
  running <- sessionInfo()
  packages <- sort(setdiff(loadedNamespaces(), c(running$basePkgs, "compiler", "tools")))
  list(
    "Engine" = engine_name(),
    "R" = running$R.version$version.string,
    "System" = running$running,
    "Platform" = running$platform,
    "pandoc" = format(rmarkdown::pandoc_version()),
    "Packages" = versions_of(package_versions(packages)),
    "Rendered" = format(Sys.time(), "%Y-%m-%d %H:%M:%S UTC", tz = "UTC")
  )
}
