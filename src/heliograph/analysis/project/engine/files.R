# Files that appear whole or not at all.

#' Write a file under a temporary name beside its own, then rename it
#'
#' @param path The file's path; its folder is made if missing.
#' @param write A function of the temporary path that writes the file.
#' @return `path`, invisibly. An error leaves nothing behind.
replace_file <- function(path, write) {
  dir.create(dirname(path), showWarnings = FALSE, recursive = TRUE)
  temporary <- file.path(
    dirname(path), sprintf(".%s.%s.%d.tmp", basename(path), Sys.info()[["nodename"]], Sys.getpid())
  )
  on.exit(unlink(temporary))
  write(temporary)
  if (!file.rename(temporary, path)) {
    stop("The file could not be renamed to ", path, call. = FALSE)
  }
  invisible(path)
}

#' Write a list as JSON, whole or not at all
#'
#' @param values A named list of plain values.
#' @param path The file's path.
#' @return `path`, invisibly.
replace_json <- function(values, path) {
  text <- jsonlite::toJSON(values, auto_unbox = TRUE, null = "null", pretty = TRUE)
  replace_file(path, function(temporary) writeLines(enc2utf8(text), temporary, useBytes = TRUE))
}

#' Read a JSON file that may be missing, or torn by a crash or a network drive
#'
#' @param path The file's path.
#' @return A list of plain values, or `NULL`.
read_json_if_whole <- function(path) {
  if (!file.exists(path)) {
    return(NULL)
  }
  tryCatch(
    jsonlite::fromJSON(path, simplifyVector = TRUE),
    error = function(error) {
      message("not readable, taken as missing: ", path)
      NULL
    }
  )
}

#' Write a line to the log: time in UTC, then the text
#'
#' @param ... Pieces of the text.
log_line <- function(...) {
  message(format(Sys.time(), "%Y-%m-%dT%H:%M:%SZ", tz = "UTC"), " ", ...)
}
