# From cells (one value for a data set, checkpoint, item group and form) to estimates with
# intervals.

#' Wilson score interval of a proportion
#'
#' Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference.
#' Journal of the American Statistical Association, 22(158), 209-212.
#'
#' @param k Successes.
#' @param n Trials. Both are vectors of the same length.
#' @param confidence_level The level, for instance 0.95.
#' @return A data.table of `lower` and `upper`, within 0 and 1; `NA` where `n` is 0.
wilson_interval <- function(k, n, confidence_level = 0.95) {
  z <- qnorm((1 + confidence_level) / 2)
  p <- k / n
  centre <- (p + z^2 / (2 * n)) / (1 + z^2 / n)
  half <- z / (1 + z^2 / n) * sqrt(p * (1 - p) / n + z^2 / (4 * n^2))
  bounds <- data.table(lower = pmax(0, centre - half), upper = pmin(1, centre + half))
  # exactly 0 and 1 at the ends, where rounding leaves something like 1e-17
  bounds[k == 0, lower := 0]
  bounds[k == n, upper := 1]
  bounds[n == 0, c("lower", "upper") := NA_real_]
  bounds[]
}

#' Add the share of right answers and its interval to counts
#'
#' @param counts A data.table with the columns `k` and `n`.
#' @param confidence_level The level of the intervals.
#' @return The same rows with `accuracy`, `lower` and `upper`.
with_intervals <- function(counts, confidence_level) {
  bounds <- wilson_interval(counts$k, counts$n, confidence_level)
  cbind(counts, accuracy = counts$k / counts$n, bounds)
}

#' Turn accuracies back into counts of right answers
#'
#' @param metrics The cells of the metric accuracy: `value`, between 0 and 1, and `n`.
#' @return The cells with `k` in place of `value`; rounded where only floating point stands between.
count_right <- function(metrics) {
  cells <- metrics[metric == "accuracy"]
  bad <- cells[!is.finite(value) | value < 0 | value > 1 | is.na(n) | n < 1]
  if (nrow(bad) > 0) {
    stop(
      "An accuracy is not a share of at least one item: ", bad$dataset[[1]], ", ",
      bad$item_group[[1]], ": ", bad$value[[1]], " of ", bad$n[[1]],
      call. = FALSE
    )
  }
  k <- cells$value * cells$n
  cells[, k := fifelse(abs(k - round(k)) < 1e-6 * n, round(k), k)]
  cells[, c("metric", "value") := NULL]
  cells[]
}

#' Put checkpoints in the order of training
#'
#' @param metrics The cells.
#' @param listed The names in the order of eval_metadata.json, which decides between equal steps.
#' @return A data.table, one row a checkpoint: `checkpoint`, `step`, `tokens_seen`, `position`. A
#'   checkpoint without a step stands last.
order_checkpoints <- function(metrics, listed) {
  checkpoints <- unique(metrics[, .(checkpoint, step, tokens_seen)], by = "checkpoint")
  checkpoints <- checkpoints[order(step, match(checkpoint, listed), na.last = TRUE)]
  checkpoints[, position := seq_len(.N)]
  checkpoints[]
}

#' Add up the cells of each data set and checkpoint
#'
#' @param cells What [count_right()] returns.
#' @return A data.table of `dataset`, `checkpoint`, `groups`, `k`, `n`.
pool_accuracy <- function(cells) {
  cells[, .(groups = uniqueN(item_group), k = sum(k), n = sum(n)), by = .(dataset, checkpoint)]
}

#' Pool the other metrics over the groups of each data set and checkpoint
#'
#' Perplexities: the geometric mean weighted by the units that they count (tokens, words, bytes),
#' which is the perplexity of all the text together. Loss: the mean weighted by tokens. Anything
#' else, and where units are not known: weighted by items.
#'
#' @param metrics The cells.
#' @param predictions Sums with `n_tokens`, or `NULL`.
#' @return A data.table of `metric`, `dataset`, `checkpoint`, `value`, `groups`, `n`.
pool_others <- function(metrics, predictions) {
  cells <- metrics[metric != "accuracy" & is.finite(value)]
  cells[, weight := units_behind(cells, predictions)]
  cells[!is.finite(weight) | weight <= 0, weight := as.numeric(n)]
  cells[endsWith(metric, "perplexity"), value := log(value)]
  pooled <- cells[, .(
    value = weighted.mean(value, weight), groups = uniqueN(item_group), n = sum(n)
  ), by = .(metric, dataset, checkpoint)]
  pooled[endsWith(metric, "perplexity"), value := exp(value)]
  pooled[]
}

#' Count the tokens, words or bytes behind each value
#'
#' @param cells Cells of metrics other than accuracy.
#' @param predictions Sums with `n_tokens`, or `NULL`.
#' @return A numeric vector, `NA` where it is not known.
units_behind <- function(cells, predictions) {
  if (is.null(predictions)) {
    return(rep(NA_real_, nrow(cells)))
  }
  keys <- c("dataset", "checkpoint", "item_group", "form")
  tokens <- as.numeric(predictions[cells, on = keys, x.n_tokens])
  loss <- cells[metric == "loss"][cells, on = keys, x.value]
  fcase(
    cells$metric %in% c("perplexity", "loss"), tokens,
    endsWith(cells$metric, "_perplexity"), tokens * loss / log(cells$value) # nats over nats a unit
  )
}

#' Compare the accuracies with the answers that they were made from
#'
#' @param cells What [count_right()] returns.
#' @param predictions Sums over items, or `NULL`.
#' @return A sentence for each kind of disagreement.
check_predictions <- function(cells, predictions) {
  if (is.null(predictions) || nrow(cells) == 0) {
    return(character())
  }
  both <- predictions[cells, on = c("dataset", "checkpoint", "item_group", "form")]
  differ <- both[!is.na(n) & !is.na(k) & (n != i.n | abs(k - i.k) > 0.5)]
  if (nrow(differ) == 0) {
    return(character())
  }
  sprintf(
    paste(
      "In %d of %d cells the accuracy does not agree with the stored answers of the items (first:",
      "%s, %s). What follows is computed from the accuracy."
    ),
    nrow(differ), nrow(cells), differ$dataset[[1]], differ$item_group[[1]]
  )
}

#' Compute everything that figures, tables and the report show
#'
#' @param evaluation What [load_evaluation()] returns.
#' @return A list: `experiment`, `metadata`, `training`, `config`; `checkpoints`; `accuracy`, one
#'   row a cell and checkpoint; `overall`, one row a data set and checkpoint; `others`, the other
#'   metrics pooled; `cells`, every value as it was read; `chance`, the accuracy of guessing by data
#'   set, as far as it is known; `notes`, sentences for the report.
summarise_evaluation <- function(evaluation) {
  metrics <- evaluation$metrics
  level <- evaluation$config$confidence_level
  checkpoints <- order_checkpoints(metrics, listed_checkpoints(evaluation$metadata))
  in_order <- function(rows) {
    joined <- merge(rows, checkpoints[, .(checkpoint, position)], by = "checkpoint", sort = FALSE)
    joined[order(dataset, position)]
  }
  cells <- count_right(metrics)
  overall <- with_intervals(pool_accuracy(cells), level)
  others <- pool_others(metrics, evaluation$predictions)
  keep <- evaluation[c("experiment", "metadata", "training", "config")]
  c(keep, list(
    checkpoints = checkpoints,
    accuracy = in_order(with_intervals(cells, level)),
    overall = with_steps(in_order(overall), checkpoints),
    others = with_steps(in_order(others), checkpoints),
    cells = in_order(metrics),
    chance = if (!is.null(evaluation$predictions)) chance_levels(evaluation$predictions),
    notes = c(
      missing_notes(metrics, checkpoints), failure_notes(evaluation$metadata),
      check_predictions(cells, evaluation$predictions)
    )
  ))
}

#' Keep the rows of each data set's (and metric's) last checkpoint
#'
#' @param rows Rows with `dataset`, `position` and perhaps `metric`.
#' @return Those rows.
at_last <- function(rows) {
  if (nrow(rows) == 0) {
    return(rows)
  }
  by <- intersect(c("metric", "dataset"), names(rows))
  rows[, .SD[position == max(position)], by = by]
}

with_steps <- function(rows, checkpoints) {
  merge(rows, checkpoints[, .(checkpoint, step, tokens_seen)], by = "checkpoint", sort = FALSE)
}

listed_checkpoints <- function(metadata) {
  vapply(metadata$checkpoints, function(checkpoint) checkpoint$name, character(1))
}

#' The accuracy of guessing, for each data set where it is known
#'
#' @param predictions Cells with `chance`: the mean over items of one over their number of
#'   alternatives.
#' @return A named numeric vector; for pairs, 0.5.
chance_levels <- function(predictions) {
  known <- predictions[!is.na(chance), .(chance = weighted.mean(chance, n)), by = dataset]
  setNames(known$chance, known$dataset)
}

#' Say what this evaluation does not allow
#'
#' @param metrics The cells.
#' @param checkpoints The checkpoints.
#' @return Sentences.
missing_notes <- function(metrics, checkpoints) {
  not_finite <- metrics[!is.finite(value), .N]
  c(
    if (nrow(checkpoints) == 1) "Only one checkpoint was evaluated, so there is no learning curve.",
    if (!"accuracy" %in% metrics$metric) "No accuracy was measured.",
    if (!"perplexity" %in% metrics$metric) "No perplexity was measured.",
    if (anyNA(checkpoints$step) && nrow(checkpoints) > 1) {
      "A checkpoint has no training step; it stands last, and the curves are drawn over the order."
    },
    if (not_finite > 0) sprintf("%d values are not finite numbers and were left out.", not_finite)
  )
}

#' Say what could not be evaluated
#'
#' @param metadata eval_metadata.json.
#' @return Sentences.
failure_notes <- function(metadata) {
  failures <- vapply(metadata$failures, function(failure) {
    about <- paste(c(failure$dataset, failure$checkpoint), collapse = " at ")
    sprintf("Not evaluated: %s. %s", about, failure$message)
  }, character(1))
  skipped <- Filter(function(dataset) isTRUE(dataset$n_skipped > 0), metadata$datasets)
  left_out <- vapply(skipped, function(dataset) {
    sprintf(
      "%s: the model could not score %s of %s items; they were left out.",
      dataset$name, count(dataset$n_skipped), count(dataset$n_items)
    )
  }, character(1))
  as.character(c(failures, left_out))
}
