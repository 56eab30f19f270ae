test_that("tables hold every number as CSV, and escaped names as LaTeX", {
  paths <- make_paths()
  statistics <- summarise_evaluation(make_evaluation(
    make_cells(c(0.5, 1), item_group = c("a_b & <c>", "[50%]"), n = 2000)
  ))
  files <- write_tables(statistics, paths)
  expect_setequal(basename(files), c(
    "accuracy_by_group.csv", "accuracy_by_group.tex", "learning_curve.csv", "learning_curve.tex"
  ))
  csv <- fread(file.path(paths$tables, "accuracy_by_group.csv"))
  expect_identical(csv$item_group, c("a_b & <c>", "[50%]"))
  expect_equal(csv$accuracy, c(0.5, 1))
  tex <- paste(readLines(file.path(paths$tables, "accuracy_by_group.tex")), collapse = "\n")
  expect_match(tex, "\\toprule", fixed = TRUE)
  row <- "a\\_b \\& \\textless{}c\\textgreater{} & 2,000 & 50.0 & 47.8--52.2"
  expect_match(tex, row, fixed = TRUE)
  expect_match(tex, "{[}50\\%]", fixed = TRUE)
  expect_match(tex, "experiment exp\\_1", fixed = TRUE)
})

test_that("a long table becomes a longtable", {
  paths <- make_paths()
  cells <- make_cells(0.5, item_group = sprintf("g%d", 1:50))
  write_tables(summarise_evaluation(make_evaluation(cells)), paths)
  tex <- readLines(file.path(paths$tables, "accuracy_by_group.tex"))
  expect_match(tex, "begin{longtable}", fixed = TRUE, all = FALSE)
})

test_that("a file that fails half-way leaves the old one and nothing else", {
  path <- file.path(withr::local_tempdir(), "file.txt")
  write_whole(path, function(temporary) writeLines("old", temporary))
  expect_error(write_whole(path, function(temporary) {
    writeLines("half", temporary)
    stop("disk full")
  }), "disk full")
  expect_identical(readLines(path), "old")
  expect_identical(list.files(dirname(path), all.files = TRUE, no.. = TRUE), "file.txt")
})

test_that("the manifest describes every file and removes what is stale, unless it was changed", {
  withr::local_options(heliograph.engine = "fallback")
  paths <- make_paths()
  make <- function(name, text = name) {
    write_whole(file.path(paths$figures, name), function(temporary) writeLines(text, temporary))
  }
  statistics <- summarise_evaluation(make_evaluation(make_cells(0.5)))
  old <- c(make("kept.png"), make("stale.png"), make("edited.png"))
  write_manifest(statistics, old, character(), character(), paths)
  make("edited.png", "by a user")
  path <- write_manifest(statistics, old[[1]], character(), character(), paths)
  expect_setequal(list.files(paths$figures), c("kept.png", "edited.png"))
  manifest <- read_json(path)
  expect_identical(manifest$engine, "fallback")
  expect_identical(manifest$evaluation_token, "t-1")
  expect_equal(manifest$metrics, list(overall_accuracy = 0.5, "accuracy/pairs" = 0.5))
  expect_identical(manifest$files[[1]]$path, "analysis/figures/exp_1/kept.png")
  expect_identical(manifest$files[[1]]$bytes, 9L)
})

test_that("metadata may lack every field", {
  expect_match(html_facts(evaluation_facts(list())), "<tbody></tbody>", fixed = TRUE)
  expect_match(html_facts(training_facts(list(total_steps = 5000))), "5,000")
  expect_identical(nrow(dataset_table(list())), 0L)
})
