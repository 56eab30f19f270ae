write_metadata <- function(paths, metrics, predictions = character()) {
  files <- list(metrics = I(metrics), predictions = I(predictions))
  values <- list(experiment = "exp_1", files = files)
  jsonlite::write_json(values, file.path(paths$evaluation, "eval_metadata.json"), auto_unbox = TRUE)
}

#' Let DuckDB write a Parquet file below the evaluation
write_parquet <- function(paths, file, select) {
  path <- file.path(paths$evaluation, file)
  dir.create(dirname(path), recursive = TRUE, showWarnings = FALSE)
  duckdb <- find_program("duckdb", "HELIOGRAPH_DUCKDB", "")
  sql <- sprintf("COPY (%s) TO %s (FORMAT parquet)", select, sql_text(basename(path)))
  run_program(duckdb, c("-batch", "-bail", "-init", "/dev/null", "-c", sql), dirname(path))
  file
}

cell_sql <- function(value, group = "'g'") {
  sprintf(
    "SELECT 'final' AS checkpoint, 10 AS step, NULL AS tokens_seen, %s AS item_group, '001' AS form,
            NULL AS field, %s AS value, 4 AS n",
    group, value
  )
}

test_that("the files that are listed are read, whatever the drive is called, and no others", {
  paths <- make_paths()
  listed <- write_parquet(paths, "metrics/dataset=007/metric=accuracy/a.parquet", cell_sql(0.5))
  write_parquet(paths, "metrics/dataset=007/metric=accuracy/old.parquet", cell_sql(0.1))
  write_metadata(paths, listed)
  evaluation <- load_evaluation(list_inputs(paths), list_results(paths), paths)
  expect_identical(evaluation$metrics$dataset, "007")
  expect_identical(evaluation$metrics$form, "001")
  expect_identical(evaluation$metrics$value, 0.5)
  expect_null(evaluation$predictions)
})

test_that("names come through SQL and CSV as they are", {
  paths <- make_paths()
  names <- c(
    "say \"hi\", \"\"you\"\"", "o'clock; DROP", "NA", "1e5", "two\nlines", "\u00fc\u4e2d", " x "
  )
  cells <- vapply(names, function(name) cell_sql(0.5, sql_text(name)), "")
  union <- paste(cells, collapse = " UNION ALL ")
  listed <- write_parquet(paths, "metrics/dataset=d/metric=accuracy/a.parquet", union)
  write_metadata(paths, listed)
  metrics <- load_evaluation(list_inputs(paths), list_results(paths), paths)$metrics
  expect_setequal(metrics$item_group, names)
})

test_that("predictions are added up to cells, with the accuracy of guessing", {
  paths <- make_paths()
  listed <- write_parquet(paths, "metrics/dataset=d/metric=accuracy/a.parquet", cell_sql(0.75))
  items <- write_parquet(paths, "predictions/d.parquet/a.parquet", paste(
    "SELECT 'd' AS dataset, 'final' AS checkpoint, 'g' AS item_group, '001' AS form,",
    "CAST(i > 0 AS TINYINT) AS correct, [1.0, 2.0, 3.0, 4.0] AS scores, 5 AS n_tokens",
    "FROM range(4) t(i)"
  ))
  write_metadata(paths, listed, items)
  sums <- load_evaluation(list_inputs(paths), list_results(paths), paths)$predictions
  expected <- data.table(n = 4, k = 3, n_tokens = 20, chance = 0.25)
  expect_equal(sums[, .(n, k, n_tokens, chance)], expected)
})

test_that("two values for one cell are an error", {
  paths <- make_paths()
  files <- sprintf("metrics/dataset=d/metric=accuracy/%s.parquet", c("a", "b"))
  for (file in files) write_parquet(paths, file, cell_sql(0.5))
  write_metadata(paths, files)
  expect_error(
    load_evaluation(list_inputs(paths), list_results(paths), paths),
    "two values for d, accuracy, final, g, 001"
  )
})

test_that("a list of files that leads astray is refused", {
  paths <- make_paths()
  outside <- c("/etc/passwd", "metrics/../../x.parquet", "metrics/*.parquet", "other/x.parquet")
  for (file in outside) {
    write_metadata(paths, file)
    expect_error(list_results(paths), "not a result")
  }
  write_metadata(paths, "metrics/dataset=d/metric=m/x.parquet")
  expect_error(list_results(paths), "is missing")
  write_metadata(paths, character())
  expect_error(list_results(paths), "lists no metrics")
})

test_that("what DuckDB says of a broken file is told", {
  paths <- make_paths()
  file <- "metrics/dataset=d/metric=accuracy/a.parquet"
  dir.create(dirname(file.path(paths$evaluation, file)), recursive = TRUE)
  writeLines("no Parquet", file.path(paths$evaluation, file))
  expect_error(read_metrics(file, paths$evaluation), "ended with status 1:.*Parquet file")
})

test_that("metadata that is missing or torn is told by name", {
  paths <- make_paths()
  expect_error(list_inputs(paths), "exp_1 was not evaluated")
  writeLines("{\"files\":", file.path(paths$evaluation, "eval_metadata.json"))
  expect_error(list_results(paths), "eval_metadata.json is not JSON")
})

test_that("an experiment's name is checked; without SHARED_DRIVE the drive is one up", {
  for (name in c("", "../x", ".hidden", "a b", "a/b")) {
    expect_error(analysis_paths(name, tempdir()), "must name an experiment")
  }
  project <- file.path(withr::local_tempdir(), "analysis")
  dir.create(project)
  expect_identical(analysis_paths("e", "", project)$drive, normalizePath(dirname(project)))
})

test_that("settings are checked", {
  write_config <- function(text) {
    path <- withr::local_tempfile(.local_envir = parent.frame())
    writeLines(text, path)
    path
  }
  expect_identical(read_config(NULL)$confidence_level, 0.95)
  expect_identical(read_config(write_config("# nothing"))$confidence_level, 0.95)
  expect_identical(read_config(write_config("confidence_level: 0.9"))$confidence_level, 0.9)
  expect_error(read_config(write_config("confidence: 0.9")), "unknown key confidence")
  expect_error(read_config(write_config("confidence_level: 95")), "less than 1, found 95")
  expect_error(read_config(write_config("just text")), "must hold keys and values")
})

test_that("a program that fails is an error with its own words; R's libraries are kept from it", {
  said <- "sh ended with status 3:\noh no"
  expect_error(run_program("sh", c("-c", "echo oh no >&2; exit 3")), said)
  withr::local_envvar(LD_LIBRARY_PATH = "/of/R", HELIOGRAPH_LD_LIBRARY_PATH = "")
  expect_identical(run_program("sh", c("-c", "echo ${LD_LIBRARY_PATH-unset} >&2")), "unset\n")
  withr::local_envvar(HELIOGRAPH_LD_LIBRARY_PATH = "/of/modules")
  expect_identical(run_program("sh", c("-c", "echo $LD_LIBRARY_PATH >&2")), "/of/modules\n")
})

test_that("two runs with the same seed in the same second leave each other's programs alone", {
  both <- lapply(c("0.5", "1.5"), function(seconds) {
    code <- sprintf(
      "source('%s'); set.seed(1); said <- run_program('sleep', '%s'); cat('ended well')",
      file.path(project, "R", "files.R"), seconds
    )
    processx::process$new("Rscript", c("-e", code), stdout = "|", stderr = "|")
  })
  for (run in both) run$wait()
  expect_identical(vapply(both, function(run) run$read_all_output(), ""), rep("ended well", 2))
})

test_that("a program that is missing is told with what to do", {
  withr::local_envvar(HELIOGRAPH_NONE = "")
  expect_error(
    find_program("no-such-program", "HELIOGRAPH_NONE", "Install it"), "Install it, or set HELIO"
  )
})
