#' Which of our functions calls which
calls_of <- function(folder) {
  functions <- new.env()
  for (script in list.files(folder, "[.]R$", full.names = TRUE)) sys.source(script, functions)
  calls <- lapply(mget(ls(functions), functions), function(value) {
    if (is.function(value)) intersect(codetools::findGlobals(value), ls(functions))
  })
  calls
}

test_that("no functions call each other in a circle, which targets refuses", {
  left <- calls_of(file.path(project, "R"))
  repeat {
    ends <- names(Filter(function(called) !any(called %in% names(left)), left))
    if (length(ends) == 0) break
    left <- left[setdiff(names(left), ends)]
  }
  expect_identical(names(left), character())
})

test_that("lines are short and scripts are ASCII", {
  scripts <- list.files(project, "[.](R|Rmd)$", recursive = TRUE, full.names = TRUE)
  for (script in scripts) {
    lines <- readLines(script)
    expect_lte(max(nchar(lines, type = "bytes")), 100, label = script)
    expect_false(any(grepl("[^ -~]", lines)), label = script)
  }
})
