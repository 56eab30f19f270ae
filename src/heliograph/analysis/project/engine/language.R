# What the fallback understands of `_targets.R`.
#
# The file is ordinary R code that ends with a list of targets. Here it is evaluated with our own
# `tar_target()` and so on in place of those of the package. What would change a result and is not
# supported is an error that names it; what only concerns speed, memory or scheduling is let be.

ONLY_SCHEDULING <- c(
  "memory", "garbage_collection", "deployment", "priority", "storage", "retrieval", "description",
  "workspace_on_error", "trust_timestamps", "trust_object_timestamps"
)

#' Stop because `_targets.R` uses what only the package offers
#'
#' @param what The feature's name.
unsupported <- function(what) {
  stop(
    "The fallback does not know ", what, ". It runs plain targets, one after another (formats rds ",
    "and file). Install the R package targets for more: install.packages(\"targets\")",
    call. = FALSE
  )
}

refuse_unless_scheduling <- function(arguments, where) {
  if (length(unknown <- setdiff(names(arguments), ONLY_SCHEDULING)) > 0) {
    unsupported(sprintf("%s(%s = )", where, unknown[[1]]))
  }
}

check_format <- function(format) {
  if (!format %in% c("rds", "file")) {
    unsupported(sprintf("format = \"%s\"", format))
  }
  format
}

check_error <- function(error) {
  if (error != "stop") {
    unsupported(sprintf("error = \"%s\"", error))
  }
}

#' Make the words that `_targets.R` is written in
#'
#' @param options An environment that `tar_option_set()` fills: packages, format, cue, seed.
#' @param functions The environment that `tar_source()` loads functions into.
#' @return A list of functions.
fallback_words <- function(options, functions) {
  list(
    tar_option_set = function(packages = NULL, format = NULL, cue = NULL, seed = NULL,
                              error = "stop", ...) {
      refuse_unless_scheduling(list(...), "tar_option_set")
      check_error(error)
      given <- Filter(Negate(is.null), list(packages = packages, cue = cue, seed = seed))
      if (!is.null(format)) given$format <- check_format(format)
      list2env(given, options)
      invisible()
    },
    tar_source = function(files = "R") source_folder(files, functions),
    tar_cue = function(mode = c("thorough", "always", "never"), ...) {
      if (...length() > 0) unsupported("a tar_cue() that switches off single checks")
      list(mode = match.arg(mode))
    },
    tar_target = function(name, command, pattern = NULL, packages = NULL, format = options$format,
                          error = "stop", cue = options$cue, ...) {
      if (!is.null(substitute(pattern))) unsupported("branching: tar_target(pattern = )")
      refuse_unless_scheduling(list(...), "tar_target")
      check_error(error)
      name <- deparse(substitute(name))
      new_target(name, substitute(command), check_format(format), cue, packages)
    },
    # `_targets.R` says library(targets), which is not there
    library = function(package, ...) {
      package <- as.character(substitute(package))
      if (package != "targets") base::library(package, character.only = TRUE)
    }
  )
}

new_target <- function(name, command, format, cue, packages) {
  if (has_bang_bang(command)) {
    unsupported(sprintf("tidy evaluation (!!) in the target %s", name))
  }
  target <- list(name = name, command = command, format = format, cue = cue, packages = packages)
  structure(target, class = "fallback_target")
}

#' Tell whether an expression holds `!!x`, which R parses as `!(!x)`
#'
#' @param expression A call, symbol or constant.
#' @return `TRUE` or `FALSE`.
has_bang_bang <- function(expression) {
  if (!is.call(expression)) {
    return(FALSE)
  }
  is_not <- function(x) is.call(x) && identical(x[[1]], quote(`!`))
  (is_not(expression) && is_not(expression[[2]])) ||
    any(vapply(as.list(expression)[-1], has_bang_bang, logical(1)))
}

source_folder <- function(files, functions) {
  folders <- dir.exists(files)
  inside <- list.files(files[folders], full.names = TRUE, recursive = TRUE)
  for (script in grep("[.][rR]$", c(files[!folders], inside), value = TRUE)) {
    sys.source(script, functions, keep.source = FALSE)
  }
}

#' Read `_targets.R`
#'
#' @param script The path of `_targets.R`; the working directory is its folder.
#' @return A list: `targets`, named; `functions`, the environment of functions and global values;
#'   `options`.
read_pipeline <- function(script) {
  options <- list2env(list(
    packages = character(), format = "rds", cue = list(mode = "thorough"), seed = 0L
  ))
  words <- new.env(parent = globalenv())
  functions <- new.env(parent = words)
  list2env(fallback_words(options, functions), words)
  value <- withCallingHandlers(
    source(script, local = functions, keep.source = FALSE)$value,
    error = explain_unknown_word
  )
  rm("library", envir = words)
  list(targets = named_targets(value), functions = functions, options = options)
}

#' Say it plainly where `_targets.R` calls a function of targets or tarchetypes that is not here
#'
#' @param error The condition.
explain_unknown_word <- function(error) {
  pattern <- "could not find function \"(tar_[a-z_]+)\""
  text <- conditionMessage(error)
  if (grepl(pattern, text)) {
    unsupported(sub(sprintf(".*%s.*", pattern), "\\1()", text))
  }
  if (grepl("no package called .(targets|tarchetypes)", text)) {
    unsupported("targets:: and tarchetypes::")
  }
}

named_targets <- function(value) {
  targets <- flatten_targets(value)
  names <- vapply(targets, function(target) target$name, character(1))
  if (length(targets) == 0) {
    stop("_targets.R must end with a list of targets", call. = FALSE)
  }
  if (any(duplicated(names))) {
    stop("_targets.R has two targets called ", names[duplicated(names)][[1]], call. = FALSE)
  }
  setNames(targets, names)
}

flatten_targets <- function(value) {
  if (inherits(value, "fallback_target")) {
    return(list(value))
  }
  if (inherits(value, "tar_target")) {
    unsupported("targets:: and tarchetypes::") # made by the package, which is installed
  }
  if (!is.list(value)) {
    stop("_targets.R must end with a list of targets", call. = FALSE)
  }
  do.call(c, c(list(list()), lapply(unname(value), flatten_targets)))
}
