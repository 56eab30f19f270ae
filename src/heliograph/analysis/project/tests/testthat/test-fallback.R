#' Go to a new folder that holds a pipeline; return the path of its store
local_pipeline <- function(..., functions = character(), envir = parent.frame()) {
  folder <- withr::local_tempdir(.local_envir = envir)
  withr::local_dir(folder, .local_envir = envir)
  dir.create("R")
  write_functions(functions)
  write_script(...)
  "store"
}

write_script <- function(...) {
  targets <- paste(c(...), collapse = ",\n")
  writeLines(c("library(targets)", "tar_source()", "list(", targets, ")"), "_targets.R")
}

write_functions <- function(lines) writeLines(lines, "R/functions.R")

make <- function(store) suppressMessages(fallback_make("_targets.R", store))

value_of <- function(store, name) read_object(store, read_record(store, name))

test_that("targets run after what they need, once", {
  store <- local_pipeline("tar_target(b, a + 1)", "tar_target(a, 1)")
  expect_identical(make(store), c("a", "b"))
  expect_identical(value_of(store, "b"), 2)
  expect_identical(make(store), character())
})

test_that("changed code runs again, with what depends on a changed value; comments do not count", {
  targets <- c("tar_target(a, f(1))", "tar_target(b, a * 2)", "tar_target(c, 3)")
  store <- local_pipeline(targets, functions = c("f <- function(x) g(x)", "g <- function(x) x + 1"))
  make(store)
  write_functions(c("# new", "f <- function(x) g(x)", "g <- function(x) { # new", "x + 1", "}"))
  expect_identical(make(store), "a") # braces are code, but the value stays the same
  write_functions(c("f <- function(x) g(x)", "g <- function(x) x + 2"))
  expect_identical(make(store), c("a", "b"))
  expect_identical(value_of(store, "b"), 6)
})

test_that("functions that call each other do not hang the search for code", {
  store <- local_pipeline("tar_target(a, even(4))", functions = c(
    "even <- function(n) n == 0 || odd(n - 1)", "odd <- function(n) n != 0 && even(n - 1)"
  ))
  make(store)
  expect_true(value_of(store, "a"))
})

test_that("a global value counts as code", {
  store <- local_pipeline("tar_target(a, level)", functions = "level <- 1")
  make(store)
  write_functions("level <- 2")
  expect_identical(make(store), "a")
})

test_that("files that changed or went away are made again, and their readers follow", {
  store <- local_pipeline(
    "tar_target(file, write_it(), format = \"file\")", "tar_target(text, readLines(file))",
    functions = "write_it <- function() { writeLines(\"x\", \"out.txt\"); \"out.txt\" }"
  )
  make(store)
  writeLines("spoilt", "out.txt")
  expect_identical(make(store), "file")
  unlink("out.txt")
  expect_identical(make(store), "file")
  expect_identical(make(store), character())
})

test_that("always and never mean that", {
  texts <- "texts <- function() sort(list.files(pattern = \"txt$\"))"
  store <- local_pipeline(
    "tar_target(files, texts(), format = \"file\", cue = tar_cue(\"always\"))",
    "tar_target(n, length(files))", "tar_target(once, level, cue = tar_cue(\"never\"))",
    functions = c("level <- 1", texts)
  )
  writeLines("1", "1.txt")
  make(store)
  expect_identical(make(store), "files")
  writeLines("2", "2.txt")
  write_functions(c("level <- 2", texts))
  expect_identical(make(store), c("files", "n"))
  expect_identical(value_of(store, "once"), 1)
})

test_that("a target that fails is named, and the next run goes on from what succeeded", {
  store <- local_pipeline("tar_target(a, 1)", "tar_target(b, f(a))", "tar_target(c, b)",
    functions = "f <- function(x) stop(\"no luck with \", x)"
  )
  error <- tryCatch(make(store), target_failed = identity)
  expect_identical(error$target, "b")
  expect_identical(conditionMessage(error), "no luck with 1")
  expect_identical(deparse(error$call), "f(a)")
  expect_identical(error$calls[[1]], "f(a)")
  write_functions("f <- function(x) x + 1")
  expect_identical(make(store), c("b", "c"))
})

test_that("a target of format file must return files that exist", {
  store <- local_pipeline("tar_target(a, \"nowhere.txt\", format = \"file\")")
  error <- tryCatch(make(store), target_failed = identity)
  expect_match(conditionMessage(error), "no such file: nowhere.txt")
})

test_that("a record or value that a crash damaged is made again", {
  store <- local_pipeline("tar_target(a, 1)", "tar_target(b, a)")
  make(store)
  writeLines("torn", file.path(store, "records", "a.rds"))
  expect_identical(make(store), "a")
  unlink(list.files(file.path(store, "objects"), "^b-", full.names = TRUE))
  expect_identical(make(store), "b")
})

test_that("values that nothing names any more are removed", {
  store <- local_pipeline("tar_target(a, 1)")
  make(store)
  write_script("tar_target(a, 2)")
  make(store)
  expect_length(list.files(file.path(store, "objects")), 1)
})

test_that("random numbers are the same in every run and differ between targets", {
  store <- local_pipeline("tar_target(a, runif(1))", "tar_target(b, runif(1))")
  make(store)
  first <- c(value_of(store, "a"), value_of(store, "b"))
  unlink(store, recursive = TRUE)
  make(store)
  expect_identical(c(value_of(store, "a"), value_of(store, "b")), first)
  expect_false(first[[1]] == first[[2]])
})

test_that("what the fallback cannot do is named", {
  expect_unsupported <- function(target, what) {
    local_pipeline(target)
    expect_error(make("store"), paste("does not know", what), fixed = TRUE)
  }
  expect_unsupported("tar_target(a, x, pattern = map(x))", "branching")
  expect_unsupported("tar_target(a, 1, format = \"qs\")", "format = \"qs\"")
  expect_unsupported("tar_target(a, 1, error = \"continue\")", "error = \"continue\"")
  expect_unsupported("tar_target(a, 1, resources = 1)", "tar_target(resources = )")
  expect_unsupported("tar_target(a, f(!!x))", "tidy evaluation")
  expect_unsupported("tar_target(a, 1, cue = tar_cue(file = FALSE))", "a tar_cue()")
  expect_unsupported("tar_map(1)", "tar_map()")
  expect_unsupported("targets::tar_target(a, 1)", "targets::")
})

test_that("what only concerns speed is let be", {
  store <- local_pipeline("tar_target(a, 1, memory = \"transient\", priority = 1)")
  expect_identical(make(store), "a")
})

test_that("a circle, a double name and a missing list are told", {
  local_pipeline("tar_target(a, b)", "tar_target(b, a)")
  expect_error(make("store"), "in a circle: a, b")
  write_script("tar_target(a, 1)", "tar_target(a, 2)")
  expect_error(make("store"), "two targets called a")
  writeLines("1", "_targets.R")
  expect_error(make("store"), "must end with a list of targets")
})
