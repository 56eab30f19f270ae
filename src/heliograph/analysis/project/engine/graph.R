# Which target needs which, and what code a target runs.

#' Name the functions and variables that an expression takes from outside
#'
#' Found by static analysis: a function that is called by a text, as in `do.call("f", ...)`, is
#' missed.
#'
#' @param command A call, symbol or constant.
#' @return A character vector.
globals_of <- function(command) {
  codetools::findGlobals(as.function(list(command)), merge = TRUE)
}

#' Name the targets that a target needs
#'
#' @param target A target.
#' @param targets All targets, named.
#' @return Their names, in the order of `targets`.
needs_of <- function(target, targets) {
  intersect(names(targets), globals_of(target$command))
}

#' Sort targets so that each one stands after those that it needs
#'
#' @param targets All targets, named.
#' @return The names, in the order of the script as far as that goes.
run_order <- function(targets) {
  needs <- lapply(targets, needs_of, targets)
  order <- character()
  while (length(left <- setdiff(names(targets), order)) > 0) {
    ready <- Filter(function(name) all(needs[[name]] %in% order), left)
    if (length(ready) == 0) {
      stop("These targets need each other in a circle: ", toString(left), call. = FALSE)
    }
    order <- c(order, ready[[1]])
  }
  order
}

#' Fingerprint the functions and global values that a command uses, directly or through others
#'
#' @param command A target's command.
#' @param functions The environment that holds them.
#' @return A named character vector of hashes, sorted by name. Comments and layout do not count.
code_fingerprints <- function(command, functions) {
  found <- list()
  waiting <- globals_of(command)
  while (length(waiting) > 0) {
    name <- waiting[[1]]
    waiting <- waiting[-1]
    if (is.null(found[[name]]) && exists(name, envir = functions, inherits = FALSE)) {
      value <- get(name, envir = functions)
      found[[name]] <- hash_value(if (is.function(value)) function_text(value) else value)
      if (is.function(value)) waiting <- c(waiting, codetools::findGlobals(value))
    }
  }
  unlist(found[sort(names(found))])
}

function_text <- function(f) {
  list(formals = deparse(formals(f)), body = deparse(body(f)))
}

hash_value <- function(value) {
  digest::digest(value, algo = "xxhash64")
}

hash_file <- function(path) {
  digest::digest(path, algo = "xxhash64", file = TRUE)
}
