local_lock <- function(envir = parent.frame()) {
  file.path(withr::local_tempdir(.local_envir = envir), "locks", "exp_1")
}

hold <- function(folder, ...) {
  holder <- modifyList(this_process(), list(...))
  replace_json(holder, file.path(folder, "owner.json"))
}

test_that("a lock is taken once and given back", {
  folder <- local_lock()
  give_back <- take_lock(folder)
  expect_error(take_lock(folder), sprintf("process %d on", Sys.getpid()))
  give_back()
  expect_identical(list.files(dirname(folder), all.files = TRUE, no.. = TRUE), character())
  take_lock(folder)()
})

test_that("the lock of a dead process of this host is taken over", {
  folder <- local_lock()
  hold(folder, pid = 2147483646L, process_start = "1")
  expect_message(give_back <- take_lock(folder), "dead run")
  give_back()
  hold(folder, process_start = "0") # the id was given to another process since
  expect_message(take_lock(folder), "dead run")
})

test_that("another host's lock is left alone, unless both are attempts of the watcher", {
  withr::local_envvar(HELIOGRAPH_TOKEN = "manual-123")
  folder <- local_lock()
  hold(folder, host = "elsewhere", attempt = "t-1")
  expect_error(take_lock(folder), "on elsewhere.*remove the folder")
  withr::local_envvar(HELIOGRAPH_TOKEN = "t-2")
  expect_message(take_lock(folder), "dead run")
  hold(folder, host = "elsewhere", attempt = "")
  expect_error(take_lock(folder), "on elsewhere")
})

test_that("who took the lock over is not robbed of it", {
  folder <- local_lock()
  give_back <- take_lock(folder)
  hold(folder, pid = 1L)
  give_back()
  expect_true(dir.exists(folder))
})
