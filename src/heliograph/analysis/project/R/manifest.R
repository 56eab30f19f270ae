# The manifest: what the analysis made, for whoever takes it further.

PACKAGES_USED <- c(
  "data.table", "digest", "ggplot2", "jsonlite", "knitr", "ragg", "rmarkdown", "xtable"
)

#' Write reports/EXPERIMENT/manifest.json
#'
#' Also removes what an earlier analysis of this experiment made and this one did not, such as the
#' figure of a metric that is no longer measured; a file that was changed since then is left alone.
#'
#' @param statistics What [summarise_evaluation()] returns.
#' @param figures,tables,reports Paths of files.
#' @param paths What [analysis_paths()] returns.
#' @return The manifest's path.
write_manifest <- function(statistics, figures, tables, reports, paths) {
  path <- file.path(paths$reports, "manifest.json")
  files <- c(
    describe_files(figures, "figure", paths), describe_files(tables, "table", paths),
    describe_files(reports, "report", paths)
  )
  manifest <- list(
    experiment = statistics$experiment,
    evaluation_token = statistics$metadata$token,
    engine = engine_name(),
    r_version = R.version$version.string,
    packages = package_versions(PACKAGES_USED),
    metrics = headline_metrics(statistics),
    files = files,
    warnings = I(statistics$notes),
    created_at = format(Sys.time(), "%Y-%m-%dT%H:%M:%SZ", tz = "UTC")
  )
  remove_stale(path, files, paths)
  write_whole(path, function(temporary) {
    text <- jsonlite::toJSON(
      manifest,
      auto_unbox = TRUE, null = "null", na = "null", digits = NA, pretty = TRUE
    )
    writeLines(enc2utf8(text), temporary, useBytes = TRUE)
  })
}

describe_files <- function(files, type, paths) {
  lapply(unname(files), function(file) {
    list(
      path = substring(file, nchar(paths$drive) + 2), type = type,
      sha256 = digest::digest(file, algo = "sha256", file = TRUE), bytes = file.size(file)
    )
  })
}

#' Name what runs the pipeline
#'
#' @return "fallback", or "targets" and its version.
engine_name <- function() {
  if (identical(getOption("heliograph.engine"), "fallback")) {
    return("fallback")
  }
  paste("targets", packageVersion("targets"))
}

package_versions <- function(packages) {
  versions <- lapply(packages, function(package) format(packageVersion(package)))
  setNames(versions, packages)
}

#' The few numbers that stand for the whole: at the last checkpoint of each data set
#'
#' @param statistics What [summarise_evaluation()] returns.
#' @return A named list of numbers: `accuracy/DATASET`, `METRIC/DATASET`, and `overall_accuracy`.
headline_metrics <- function(statistics) {
  overall <- at_last(statistics$overall)
  others <- at_last(statistics$others)
  c(
    if (nrow(overall) > 0) list(overall_accuracy = sum(overall$k) / sum(overall$n)),
    setNames(as.list(overall$accuracy), sprintf("accuracy/%s", overall$dataset)),
    setNames(as.list(others$value), sprintf("%s/%s", others$metric, others$dataset))
  )
}

remove_stale <- function(manifest_path, files, paths) {
  if (!file.exists(manifest_path)) {
    return(invisible())
  }
  current <- vapply(files, function(file) file$path, character(1))
  for (old in read_json(manifest_path)$files) {
    path <- file.path(paths$drive, old$path)
    ours <- startsWith(old$path, "analysis/") && !grepl("..", old$path, fixed = TRUE)
    if (ours && !old$path %in% current && is_unchanged(path, old$sha256)) unlink(path)
  }
}

is_unchanged <- function(path, sha256) {
  file.exists(path) && identical(digest::digest(path, algo = "sha256", file = TRUE), sha256)
}
