# Reads what the evaluation wrote: eval_metadata.json, and exactly the Parquet files that it lists.

TEXT_COLUMNS <- c("dataset", "metric", "checkpoint", "item_group", "form", "field")

#' List the small files that the analysis reads
#'
#' @param paths What [analysis_paths()] returns.
#' @return Paths; the metadata of the evaluation first, the others where they exist.
list_inputs <- function(paths) {
  metadata <- file.path(paths$evaluation, "eval_metadata.json")
  if (!file.exists(metadata)) {
    stop(paths$experiment, " was not evaluated: ", metadata, " is missing", call. = FALSE)
  }
  c(metadata, Filter(file.exists, c(paths$training, paths$config)))
}

#' List the Parquet files that make up the current evaluation
#'
#' @inheritParams list_inputs
#' @return Absolute paths.
list_results <- function(paths) {
  listed <- read_json(file.path(paths$evaluation, "eval_metadata.json"))$files
  files <- as.character(unlist(c(listed$metrics, listed$predictions)))
  odd <- files[!grepl("^(metrics|predictions)/[A-Za-z0-9._=/-]+[.]parquet$", files, perl = TRUE) |
    grepl("..", files, fixed = TRUE)]
  if (length(odd) > 0) {
    stop("eval_metadata.json lists a file that is not a result: ", odd[[1]], call. = FALSE)
  }
  if (!any(startsWith(files, "metrics/"))) {
    stop("eval_metadata.json lists no metrics: nothing was evaluated", call. = FALSE)
  }
  missing <- files[!file.exists(file.path(paths$evaluation, files))]
  if (length(missing) > 0) {
    stop("eval_metadata.json lists a file that is missing: ", missing[[1]], call. = FALSE)
  }
  file.path(paths$evaluation, files)
}

read_json <- function(path) {
  tryCatch(
    jsonlite::fromJSON(path, simplifyVector = FALSE),
    error = function(error) stop(path, " is not JSON: ", conditionMessage(error), call. = FALSE)
  )
}

#' Load everything that the analysis starts from
#'
#' @param input_files What [list_inputs()] returns.
#' @param result_files What [list_results()] returns.
#' @param paths What [analysis_paths()] returns.
#' @return A list: `experiment`; `metadata`, `training` (or `NULL`) as read from JSON; `config`;
#'   `metrics`, one row for each metric, data set, checkpoint, item group and form; `predictions`,
#'   for the same cells what follows from their items: `n`, `k`, `n_tokens` and `chance`, or `NULL`.
load_evaluation <- function(input_files, result_files, paths) {
  files <- substring(result_files, nchar(paths$evaluation) + 2)
  list(
    experiment = paths$experiment,
    metadata = read_json(input_files[[1]]),
    training = if (paths$training %in% input_files) read_json(paths$training),
    config = read_config(if (paths$config %in% input_files) paths$config),
    metrics = read_metrics(files[startsWith(files, "metrics/")], paths$evaluation),
    predictions = read_predictions(files[startsWith(files, "predictions/")], paths$evaluation)
  )
}

read_metrics <- function(files, folder) {
  metrics <- query_parquet(
    "SELECT dataset, metric, checkpoint, step, tokens_seen, item_group, form, field,
            CAST(value AS DOUBLE) AS value, n
     FROM %s
     ORDER BY dataset, metric, step NULLS LAST, checkpoint, item_group, form",
    files, folder
  )
  cell <- c("dataset", "metric", "checkpoint", "item_group", "form")
  if (anyDuplicated(metrics, by = cell) > 0) {
    twice <- metrics[anyDuplicated(metrics, by = cell), .SD, .SDcols = cell]
    stop("The evaluation holds two values for ", toString(unlist(twice)), call. = FALSE)
  }
  metrics
}

read_predictions <- function(files, folder) {
  if (length(files) == 0) {
    return(NULL)
  }
  query_parquet(
    "SELECT dataset, checkpoint, item_group, form,
            count(*) AS n, sum(correct) AS k, sum(n_tokens) AS n_tokens,
            avg(1 / len(scores)) FILTER (correct IS NOT NULL AND len(scores) > 1) AS chance
     FROM %s
     GROUP BY ALL
     ORDER BY ALL",
    files, folder
  )
}

#' Ask DuckDB about Parquet files
#'
#' The answer comes through a file of CSV, and only after DuckDB has ended well.
#'
#' @param sql A query with `%s` where the table goes.
#' @param files The Parquet files, relative to `folder`. Relative, because DuckDB takes `*`, `?` and
#'   `[` in a path for patterns: the drive's own path may hold them, these names may not.
#' @param folder The working directory of the query.
#' @return A data.table.
query_parquet <- function(sql, files, folder) {
  duckdb <- find_program("duckdb", "HELIOGRAPH_DUCKDB", "Install it: pip install duckdb-cli")
  script <- tempfile(fileext = ".sql")
  answer <- tempfile(fileext = ".csv")
  on.exit(unlink(c(script, answer)))
  table <- sprintf(
    "read_parquet([%s], union_by_name = true,
       hive_partitioning = true, hive_types_autocast = false)",
    toString(sql_text(files))
  )
  query <- sub("%s", table, sql, fixed = TRUE)
  writeLines(sprintf("COPY (%s) TO %s (FORMAT csv, HEADER);", query, sql_text(answer)), script)
  run_program(duckdb, c("-batch", "-bail", "-init", "/dev/null", "-f", script), folder)
  read_answer(answer)
}

sql_text <- function(text) {
  paste0("'", gsub("'", "''", text, fixed = TRUE), "'")
}

#' Read the CSV that DuckDB wrote
#'
#' @param path The file.
#' @return A data.table. Names stay text, also "001" and "NA"; a column without any value is
#'   numeric.
read_answer <- function(path) {
  header <- names(fread(path, nrows = 0))
  text <- intersect(header, TEXT_COLUMNS)
  rows <- fread(
    path,
    colClasses = list(character = text), na.strings = "", strip.white = FALSE, encoding = "UTF-8",
    integer64 = "double"
  )
  for (column in names(rows)[vapply(rows, is.logical, logical(1))]) {
    set(rows, j = column, value = as.numeric(rows[[column]]))
  }
  # fread leaves a doubled quote inside a quoted text as it is
  for (column in text) {
    set(rows, j = column, value = gsub("\"\"", "\"", rows[[column]], fixed = TRUE))
  }
  rows
}
