test_that("the command line is read", {
  expect_identical(parse_arguments(character()), list(engine = "auto", failure = NULL))
  expect_identical(
    parse_arguments(c("--failure", "f.json", "--engine", "fallback")),
    list(engine = "fallback", failure = "f.json")
  )
  expect_error(parse_arguments(c("--engine", "drake")), "no engine called drake")
  expect_error(parse_arguments("--engine"), "Not understood: --engine")
  expect_error(parse_arguments(c("--fast", "1")), "Usage:")
})

test_that("targets is taken where it is, and missed loudly where it was asked for", {
  expect_identical(choose_engine("auto", "1.4.1"), "targets 1.4.1")
  expect_identical(choose_engine("auto", NULL), "fallback")
  expect_identical(choose_engine("fallback", "1.4.1"), "fallback")
  expect_error(choose_engine("targets", NULL), "install.packages", class = "missing_part")
})

test_that("a package that is missing is told with what to install", {
  withr::local_envvar(PATH = withr::local_tempdir())
  expect_error(check_installed(), "apt install pandoc", class = "missing_part")
})

test_that("a failure is told as JSON, with the call", {
  path <- withr::local_tempfile()
  error <- tryCatch(log(-1:"a"), error = identity, warning = identity)
  expect_message(tell_failure(error, path), "FAILED")
  told <- jsonlite::fromJSON(path)
  expect_identical(told$message, conditionMessage(error))
  expect_null(told$target)
})
