# Files that appear whole or not at all, and other programs.

#' Write a file under a temporary name beside its own, then rename it
#'
#' @param path The file's path; its folder is made if missing.
#' @param write A function of the temporary path that writes the file. The temporary name ends as
#'   `path` does, for writers that look at that.
#' @return `path`. An error leaves nothing behind.
write_whole <- function(path, write) {
  dir.create(dirname(path), showWarnings = FALSE, recursive = TRUE)
  temporary <- file.path(
    dirname(path), sprintf(".tmp-%s-%d-%s", Sys.info()[["nodename"]], Sys.getpid(), basename(path))
  )
  on.exit(unlink(temporary))
  write(temporary)
  if (!file.rename(temporary, path)) {
    stop("The file could not be renamed to ", path, call. = FALSE)
  }
  path
}

#' Run another program, without a shell
#'
#' R puts its own libraries into LD_LIBRARY_PATH; a Python that inherits them loads the wrong ones.
#' The program gets what was there before R, as HELIOGRAPH_LD_LIBRARY_PATH tells, else nothing.
#'
#' @param command The program.
#' @param arguments Its arguments.
#' @param folder The working directory.
#' @return What it wrote to standard error. An exit status that is not 0 is an error that quotes it.
run_program <- function(command, arguments, folder = getwd()) {
  environment <- Sys.getenv()
  environment <- environment[names(environment) != "LD_LIBRARY_PATH"]
  before_r <- Sys.getenv("HELIOGRAPH_LD_LIBRARY_PATH")
  if (nzchar(before_r)) environment[["LD_LIBRARY_PATH"]] <- before_r
  # Not with cleanup_tree: it marks processes with random letters and the second. Targets are
  # seeded, so both are equal in two analyses that begin together, and one was seen to kill the
  # other's DuckDB.
  result <- processx::run(
    command, arguments,
    wd = folder, env = environment, error_on_status = FALSE
  )
  if (result$status != 0) {
    output <- strsplit(paste0(result$stdout, result$stderr), "\n")[[1]]
    said <- paste(tail(output, 30), collapse = "\n")
    stop(basename(command), " ended with status ", result$status, ":\n", said, call. = FALSE)
  }
  result$stderr
}

#' Find a program by an environment variable, else on the PATH
#'
#' @param name The program's name.
#' @param variable The environment variable.
#' @param remedy What to do if it is not there.
#' @return Its path.
find_program <- function(name, variable, remedy) {
  named <- Sys.getenv(variable)
  found <- if (nzchar(named)) named else Sys.which(name)[[1]]
  if (!nzchar(found) || !file.exists(found)) {
    stop("The program ", name, " was not found. ", remedy, ", or set ", variable, call. = FALSE)
  }
  found
}
