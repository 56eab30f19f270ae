# The fallback's store of one experiment, in a folder of its own (never that of targets):
#
#   records/TARGET.rds           what was made from what: key, object, hash, files and their hashes
#   objects/TARGET-HASH.rds      its value
#
# An object's name holds the hash of its content, and a record names its object: whatever is killed,
# a record never belongs to another value. The object is written first, the record second.

#' Read the record of a target
#'
#' @param store The store's folder.
#' @param name The target's name.
#' @return A list, or `NULL` if the target was not made yet or its record cannot be read.
read_record <- function(store, name) {
  path <- record_path(store, name)
  if (!file.exists(path)) {
    return(NULL)
  }
  tryCatch(readRDS(path), error = function(error) {
    log_line("not readable, taken as missing: ", path)
    NULL
  })
}

record_path <- function(store, name) {
  file.path(store, "records", paste0(name, ".rds"))
}

#' Keep a target's value, then its record
#'
#' @param store The store's folder.
#' @param target The target.
#' @param key What the value was made from, as a hash.
#' @param value The value; for format "file" the paths.
#' @return The record.
keep_value <- function(store, target, key, value) {
  record <- list(key = key, format = target$format)
  record$object <- keep_object(store, target$name, value)
  record$hash <- hash_value(record$object)
  if (target$format == "file") {
    record$files <- as.character(value)
    record$file_hashes <- vapply(record$files, hash_file, character(1), USE.NAMES = FALSE)
    record$hash <- hash_value(list(record$files, record$file_hashes))
  }
  record$made_at <- format(Sys.time(), "%Y-%m-%dT%H:%M:%SZ", tz = "UTC")
  replace_file(record_path(store, target$name), function(path) saveRDS(record, path))
  record
}

keep_object <- function(store, name, value) {
  temporary <- tempfile("object", fileext = ".rds")
  on.exit(unlink(temporary))
  saveRDS(value, temporary, compress = FALSE)
  object <- sprintf("%s-%s.rds", name, hash_file(temporary))
  replace_file(file.path(store, "objects", object), function(path) file.copy(temporary, path))
  object
}

read_object <- function(store, record) {
  readRDS(file.path(store, "objects", record$object))
}

#' Tell why a target must be made, or "" if what the store holds is up to date
#'
#' @param store The store's folder.
#' @param target The target.
#' @param record Its record, or `NULL`.
#' @param key What it would be made from now.
#' @return A few words.
reason_to_make <- function(store, target, record, key) {
  if (is.null(record)) {
    return("not made yet")
  }
  if (!file.exists(file.path(store, "objects", record$object))) {
    return("its value is missing")
  }
  if (target$cue$mode == "always") {
    return("always")
  }
  if (target$cue$mode == "never") {
    return("")
  }
  if (!identical(record$key, key)) {
    return("code or inputs changed")
  }
  if (target$format == "file" && !files_unchanged(record)) {
    return("its files changed")
  }
  ""
}

files_unchanged <- function(record) {
  all(file.exists(record$files)) &&
    identical(vapply(record$files, hash_file, character(1), USE.NAMES = FALSE), record$file_hashes)
}

#' Remove values that no record names any more
#'
#' @param store The store's folder.
#' @param records The records of all targets.
remove_unused <- function(store, records) {
  used <- vapply(records, function(record) record$object, character(1))
  kept <- list.files(file.path(store, "objects"))
  unlink(file.path(store, "objects", setdiff(kept, used)))
}
