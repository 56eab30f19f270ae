# What run.R does: read the command line, choose the engine, take the lock, run, tell of a failure.

USAGE <- paste(
  "Usage: HELIOGRAPH_EXPERIMENT=EXPERIMENT Rscript run.R [--engine auto|targets|fallback]",
  "[--failure FILE]"
)

# What the pipeline needs; on Debian each one is the package r-cran-NAME in lower case.
NEEDED_PACKAGES <- c(
  "codetools", "data.table", "digest", "ggplot2", "jsonlite", "knitr", "processx", "ragg",
  "rmarkdown", "xtable", "yaml"
)

#' Run the pipeline as the command line says
#'
#' @param arguments A character vector, as `commandArgs(trailingOnly = TRUE)` gives it.
#' @return The exit status: 0, 7 if something is not installed, 1 after any other error.
main <- function(arguments) {
  failure <- NULL
  tryCatch(
    {
      asked <- parse_arguments(arguments)
      failure <- asked$failure
      run_pipeline(asked$engine)
      0L
    },
    error = function(error) {
      tell_failure(error, failure)
      if (inherits(error, "missing_part")) 7L else 1L
    }
  )
}

#' Read the command line
#'
#' @param arguments A character vector.
#' @return A list: `engine`, and `failure`, a path or `NULL`.
parse_arguments <- function(arguments) {
  options <- list(engine = "auto", failure = NULL)
  while (length(arguments) > 0) {
    if (!arguments[[1]] %in% c("--engine", "--failure") || length(arguments) < 2) {
      stop("Not understood: ", arguments[[1]], "\n", USAGE, call. = FALSE)
    }
    options[[sub("^--", "", arguments[[1]])]] <- arguments[[2]]
    arguments <- arguments[-(1:2)]
  }
  if (!options$engine %in% c("auto", "targets", "fallback")) {
    stop("There is no engine called ", options$engine, "\n", USAGE, call. = FALSE)
  }
  options
}

#' Choose what runs the pipeline
#'
#' @param asked "auto", "targets" or "fallback".
#' @param version The version of targets as text, or `NULL` where it is not installed.
#' @return "fallback", or "targets" and its version.
choose_engine <- function(asked, version) {
  if (asked == "targets" && is.null(version)) {
    stop_missing(
      "The engine targets was asked for, but the R package targets is not installed. On a machine ",
      "that reaches CRAN: install.packages(\"targets\"). Or use the engine fallback."
    )
  }
  if (asked == "fallback" || is.null(version)) "fallback" else paste("targets", version)
}

targets_version <- function() {
  if (requireNamespace("targets", quietly = TRUE)) format(packageVersion("targets"))
}

#' Stop unless everything that the pipeline needs is installed
check_installed <- function() {
  installed <- vapply(NEEDED_PACKAGES, requireNamespace, logical(1), quietly = TRUE)
  missing <- c(
    sprintf("r-cran-%s", tolower(NEEDED_PACKAGES[!installed])),
    if (!nzchar(Sys.which("pandoc"))) "pandoc"
  )
  if (length(missing) > 0) {
    stop_missing("Packages are missing: apt install ", paste(missing, collapse = " "))
  }
}

#' Stop because something is not installed
stop_missing <- function(...) {
  fields <- list(message = paste0(...), call = NULL)
  stop(structure(class = c("missing_part", "error", "condition"), fields))
}

#' Run the pipeline of this folder
#'
#' @param asked The engine: "auto", "targets" or "fallback".
run_pipeline <- function(asked) {
  settle_locale()
  check_installed()
  engine <- choose_engine(asked, targets_version())
  experiment <- analysis_paths()$experiment
  give_back <- take_lock(file.path(".locks", experiment))
  on.exit(give_back())
  log_line("start pipeline: experiment ", experiment, ", engine ", engine)
  if (engine == "fallback") {
    run_fallback(file.path("_targets_fallback", experiment))
  } else {
    run_targets(file.path("_targets", experiment))
  }
}

#' Make results independent of who runs this: UTC, UTF-8, plain sorting, warnings at once
settle_locale <- function() {
  Sys.setenv(TZ = "UTC")
  Sys.setlocale("LC_COLLATE", "C")
  if (!l10n_info()[["UTF-8"]]) Sys.setlocale("LC_CTYPE", "C.UTF-8")
  options(warn = 1)
}

run_fallback <- function(store) {
  if (is.null(targets_version())) {
    log_line("NOTE: the R package targets is not installed. THE FALLBACK RUNS INSTEAD: the same")
    log_line("NOTE: pipeline, serial, in a store of its own. Better: install.packages(\"targets\")")
  }
  before <- options(heliograph.engine = "fallback")
  on.exit(options(before))
  fallback_make("_targets.R", store)
}

#' Run the pipeline with targets; its error becomes one that names the failing target
#'
#' @param store The store's folder.
run_targets <- function(store) {
  progress <- file.path(store, "meta", "progress")
  before <- file.mtime(progress)
  tryCatch(
    targets::tar_make(
      callr_function = NULL, reporter = "timestamp", store = store,
      envir = new.env(parent = globalenv())
    ),
    error = function(error) {
      # progress is written anew with the first target: unchanged, _targets.R itself is at fault
      started <- !identical(file.mtime(progress), before)
      stop(if (started) failed_target(error, store) else error)
    }
  )
}

failed_target <- function(error, store) {
  failed <- targets::tar_errored(store = store)
  if (length(failed) == 0) {
    return(error)
  }
  meta <- targets::tar_meta(store = store)
  message <- meta$error[match(failed[[1]], meta$name)]
  fields <- list(message = message, call = NULL, target = failed[[1]])
  structure(class = c("target_failed", "error", "condition"), fields)
}

#' Tell of a failure: in the log, and as JSON for the program that started this one
#'
#' @param error The condition.
#' @param path Where the JSON goes, or `NULL`.
tell_failure <- function(error, path) {
  call <- conditionCall(error)
  failure <- list(
    target = error[["target"]],
    message = conditionMessage(error),
    call = if (!is.null(call)) paste(head(deparse(call), 5), collapse = "\n")
  )
  where <- if (is.null(failure$target)) "" else paste0(" in target ", failure$target)
  log_line("FAILED", where, ": ", failure$message)
  if (!is.null(failure$call)) message("  in the call: ", failure$call)
  if (length(error[["calls"]]) > 0) {
    message("  reached through:\n", paste("   ", tail(error[["calls"]], 15), collapse = "\n"))
  }
  if (!is.null(path) && requireNamespace("jsonlite", quietly = TRUE)) replace_json(failure, path)
}
