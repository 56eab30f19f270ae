# The settings of the analysis: config/analysis.yaml on the drive, which may be missing.

#' Read the settings
#'
#' @param path The file, or `NULL`.
#' @return A list: `confidence_level` of all intervals, at least 0.5 and less than 1.
read_config <- function(path = NULL) {
  config <- list(confidence_level = 0.95)
  given <- if (!is.null(path)) yaml::read_yaml(path)
  if (!is.null(given) && !is.list(given)) {
    stop(path, ": must hold keys and values, such as confidence_level: 0.95", call. = FALSE)
  }
  if (length(unknown <- setdiff(names(given), names(config))) > 0) {
    known <- toString(names(config))
    stop(path, ": unknown key ", unknown[[1]], "; known are ", known, call. = FALSE)
  }
  config <- modifyList(config, as.list(given))
  level <- config$confidence_level
  if (!is.numeric(level) || length(level) != 1 || !isTRUE(level >= 0.5 && level < 1)) {
    stop(
      path, ": confidence_level must be a number from 0.5 to less than 1, found ", toString(level),
      call. = FALSE
    )
  }
  config
}
