# One run at a time for each experiment, whichever engine runs.
#
# The lock is a folder that holds `owner.json`. It is made under another name and renamed: a rename
# onto a folder that is not empty fails, so there is one winner, and never a lock without an owner.
# The lock of a run that died can be told from a live one:
# - on this host, by the process: its id and the moment it started;
# - on another host, nothing can be seen from here. But the watcher runs one attempt of a stage at a
#   time, so an attempt may take the lock that an earlier attempt left behind.

#' Take the lock of an experiment
#'
#' @param folder The lock's folder.
#' @return A function without arguments that gives the lock back.
take_lock <- function(folder) {
  me <- this_process()
  dir.create(dirname(folder), showWarnings = FALSE, recursive = TRUE)
  if (dir.exists(folder)) {
    clear_left_behind(folder, me)
  }
  mine <- sprintf("%s.%s.%d.tmp", folder, me$host, me$pid)
  replace_json(me, file.path(mine, "owner.json"))
  if (!suppressWarnings(file.rename(mine, folder))) {
    unlink(mine, recursive = TRUE)
    stop(held_message(folder, read_owner(folder)), call. = FALSE)
  }
  function() if (identical(read_owner(folder)$pid, me$pid)) unlink(folder, recursive = TRUE)
}

#' Put the lock of a dead run out of the way; stop if its holder may be alive
#'
#' @param folder The lock's folder.
#' @param me This process.
clear_left_behind <- function(folder, me) {
  holder <- read_owner(folder)
  if (!is_left_behind(holder, me)) {
    stop(held_message(folder, holder), call. = FALSE)
  }
  log_line("taking over the lock that a dead run left behind: ", describe_holder(holder))
  away <- sprintf("%s.%s.%d.dead", folder, me$host, me$pid)
  if (suppressWarnings(file.rename(folder, away))) {
    unlink(away, recursive = TRUE)
  }
}

read_owner <- function(folder) {
  read_json_if_whole(file.path(folder, "owner.json"))
}

#' Tell whether the holder of a lock is dead
#'
#' @param holder Who holds it, a list as [this_process()] returns, or `NULL` where it is not known.
#' @param me The process that wants it.
#' @return `TRUE` or `FALSE`.
is_left_behind <- function(holder, me) {
  if (is.null(holder)) {
    return(FALSE)
  }
  if (identical(holder$host, me$host)) {
    return(!identical(process_start(holder$pid), holder$process_start))
  }
  nzchar(me$attempt) && nzchar(holder$attempt) && me$attempt != holder$attempt
}

#' Describe this process as the holder of a lock
#'
#' `attempt` is empty for a run by hand.
#'
#' @return A list.
this_process <- function() {
  token <- Sys.getenv("HELIOGRAPH_TOKEN")
  list(
    host = Sys.info()[["nodename"]],
    pid = Sys.getpid(),
    process_start = process_start(Sys.getpid()),
    attempt = if (startsWith(token, "manual-")) "" else token,
    since = format(Sys.time(), "%Y-%m-%dT%H:%M:%SZ", tz = "UTC")
  )
}

#' Tell when a process of this host started
#'
#' @param pid A process id.
#' @return Clock ticks since boot (field 22 of /proc/PID/stat, see proc(5)), or "" if there is none.
process_start <- function(pid) {
  file <- file.path("/proc", pid, "stat")
  line <- suppressWarnings(tryCatch(readLines(file), error = function(error) ""))
  after_name <- sub("^.*\\) ", "", line) # the name may hold spaces; it ends at the last parenthesis
  fields <- strsplit(after_name, " ", fixed = TRUE)[[1]]
  if (length(fields) < 20) "" else fields[[20]]
}

describe_holder <- function(holder) {
  if (is.null(holder)) {
    return("an unknown process")
  }
  sprintf("process %s on %s, since %s", holder$pid, holder$host, holder$since)
}

held_message <- function(folder, holder) {
  paste0(
    "Another run works on this experiment: ", describe_holder(holder), ". Wait for it, or, ",
    "if it is surely dead, remove the folder ", folder
  )
}
