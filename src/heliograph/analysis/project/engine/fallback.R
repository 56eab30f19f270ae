# Runs a `_targets.R` where the package targets is missing: one target after another, each only if
# something that it is made from has changed, and what succeeded is kept when a later one fails.

#' Make every target of a pipeline
#'
#' @param script The path of `_targets.R`; the working directory is its folder.
#' @param store The folder of the fallback's own store.
#' @return The names of the targets that were made, not skipped. A target that fails ends the run
#'   with a condition of class `target_failed`: fields `target`, `message`, `call`.
fallback_make <- function(script, store) {
  pipeline <- read_pipeline(script)
  for (package in pipeline$options$packages) library(package, character.only = TRUE)
  records <- list()
  made <- character()
  for (name in run_order(pipeline$targets)) {
    target <- pipeline$targets[[name]]
    key <- key_of(target, pipeline, records)
    record <- read_record(store, name)
    reason <- reason_to_make(store, target, record, key)
    if (nzchar(reason)) {
      record <- make_target(target, pipeline, store, records, key, reason)
      made <- c(made, name)
    } else {
      log_line("skipped target ", name)
    }
    records[[name]] <- record
  }
  remove_unused(store, records)
  skipped <- length(records) - length(made)
  log_line("completed pipeline: ", length(made), " made, ", skipped, " skipped")
  invisible(made)
}

#' Hash everything that a target is made from
#'
#' @param target The target.
#' @param pipeline What [read_pipeline()] returned.
#' @param records The records of the targets before it.
#' @return A hash.
key_of <- function(target, pipeline, records) {
  needs <- needs_of(target, pipeline$targets)
  hash_value(list(
    command = deparse(target$command),
    format = target$format,
    seed = pipeline$options$seed,
    code = code_fingerprints(target$command, pipeline$functions),
    inputs = lapply(records[needs], function(record) record$hash)
  ))
}

make_target <- function(target, pipeline, store, records, key, reason) {
  log_line("dispatched target ", target$name, " (", reason, ")")
  started <- proc.time()[["elapsed"]]
  value <- run_command(target, pipeline, store, records)
  record <- failing_target(target, keep_value(store, target, key, check_value(target, value)))
  seconds <- proc.time()[["elapsed"]] - started
  log_line("completed target ", target$name, sprintf(" [%.2f seconds]", seconds))
  record
}

run_command <- function(target, pipeline, store, records) {
  failing_target(target, {
    for (package in target$packages) library(package, character.only = TRUE)
    needs <- needs_of(target, pipeline$targets)
    values <- lapply(records[needs], function(record) read_object(store, record))
    set.seed(seed_of(target, pipeline$options$seed))
    eval(target$command, list2env(values, parent = pipeline$functions))
  })
}

#' Run code for a target; an error becomes a condition that names the target
#'
#' @param target The target.
#' @param code What to run.
#' @return The code's value.
failing_target <- function(target, code) {
  calls <- NULL
  tryCatch(
    withCallingHandlers(code, error = function(error) calls <<- sys.calls()),
    error = function(error) {
      log_line("error in target ", target$name, ": ", conditionMessage(error))
      stop(structure(
        class = c("target_failed", "error", "condition"),
        list(
          message = conditionMessage(error), call = conditionCall(error),
          target = target$name, calls = own_calls(limitedLabels(calls))
        )
      ))
    }
  )
}

#' Keep of a call stack what a target's command called: without us above it and the handlers below
own_calls <- function(calls) {
  calls <- head(calls, -2)
  start <- max(0, grep("eval(target$command", calls, fixed = TRUE))
  calls[seq_along(calls) > start]
}

check_value <- function(target, value) {
  if (target$format != "file") {
    return(value)
  }
  failing_target(target, {
    if (!is.character(value)) stop("A target of format \"file\" must return paths", call. = FALSE)
    missing <- value[!file.exists(value) | dir.exists(value)]
    if (length(missing) > 0) stop("There is no such file: ", toString(missing), call. = FALSE)
    value
  })
}

seed_of <- function(target, seed) {
  strtoi(substr(hash_value(list(target$name, seed)), 1, 7), base = 16L)
}
