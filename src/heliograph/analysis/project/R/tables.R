# The tables: as CSV with every number, and as LaTeX (booktabs) with what a paper shows.

LONGEST_TABLE <- 40 # rows that fit on a page; more go into a longtable

#' Plan the tables of an experiment
#'
#' @param statistics What [summarise_evaluation()] returns.
#' @return A list of tables, each a list: `name` of its files, `title`, `data` (everything, for
#'   CSV), `shown` (a data.table of text for people).
plan_tables <- function(statistics) {
  c(plan_accuracy_tables(statistics), plan_other_table(statistics))
}

plan_accuracy_tables <- function(statistics) {
  if (nrow(statistics$accuracy) == 0) {
    return(list())
  }
  datasets <- unique(statistics$accuracy$dataset)
  groups <- list(
    name = "accuracy_by_group",
    title = paste0(
      "Accuracy by item group", if (length(datasets) == 1) paste(" on", datasets),
      " at the last checkpoint"
    ),
    data = tidy_rows(statistics$accuracy),
    shown = show_groups(at_last(statistics$accuracy), statistics$config)
  )
  curve <- list(
    name = "learning_curve",
    title = "Accuracy of each data set at each checkpoint",
    data = tidy_rows(statistics$overall),
    shown = show_curve(statistics$overall, statistics$config)
  )
  list(groups, curve)
}

plan_other_table <- function(statistics) {
  if (nrow(statistics$others) == 0) {
    return(list())
  }
  list(list(
    name = "other_metrics",
    title = "Other metrics of each data set at each checkpoint",
    data = tidy_rows(statistics$others),
    shown = show_others(statistics$others)
  ))
}

tidy_rows <- function(rows) {
  first <- c(
    "dataset", "metric", "item_group", "form", "field", "checkpoint", "step", "tokens_seen"
  )
  rows <- copy(rows)[, position := NULL]
  setcolorder(rows, intersect(first, names(rows)))[]
}

show_groups <- function(rows, config) {
  rows <- rows[order(dataset, field, item_group, form)]
  shown <- data.table(
    "Data set" = rows$dataset, Field = show_name(rows$field),
    "Item group" = show_name(rows$item_group, 100), Form = show_name(rows$form), Items = rows$n,
    "Accuracy (%)" = sprintf("%.1f", 100 * rows$accuracy)
  )
  shown[, (interval_title(config)) := interval(rows$lower, rows$upper)]
  drop_same(shown, c("Data set", "Field", "Form"))
}

show_curve <- function(rows, config) {
  shown <- data.table(
    "Data set" = rows$dataset, Checkpoint = rows$checkpoint, Step = rows$step,
    "Tokens seen" = rows$tokens_seen, Items = rows$n,
    "Accuracy (%)" = sprintf("%.1f", 100 * rows$accuracy)
  )
  shown[, (interval_title(config)) := interval(rows$lower, rows$upper)]
  drop_empty(shown, c("Step", "Tokens seen"))
}

show_others <- function(rows) {
  shown <- rows[, .(
    "Data set" = dataset, position, Checkpoint = checkpoint, Step = step, Items = n,
    metric = sentence_case(metric), value = measured(value)
  )]
  shown <- dcast(shown, ... ~ metric, value.var = "value", fill = "")
  drop_empty(shown[, position := NULL], "Step")
}

interval_title <- function(config) {
  sprintf("%g%% interval", 100 * config$confidence_level)
}

drop_empty <- function(table, columns) {
  empty <- columns[vapply(columns, function(column) all(is.na(table[[column]])), logical(1))]
  table[, setdiff(names(table), empty), with = FALSE]
}

#' Drop the columns that say the same in each of several rows
drop_same <- function(table, columns) {
  same <- vapply(columns, function(column) uniqueN(table[[column]]) == 1, logical(1))
  table[, setdiff(names(table), if (nrow(table) > 1) columns[same]), with = FALSE]
}

#' Write every table as CSV and LaTeX
#'
#' @param statistics What [summarise_evaluation()] returns.
#' @param paths What [analysis_paths()] returns.
#' @return The files' paths.
write_tables <- function(statistics, paths) {
  unlist(lapply(plan_tables(statistics), function(table) {
    file <- file.path(paths$tables, table$name)
    c(
      write_whole(paste0(file, ".csv"), function(path) fwrite(table$data, path)),
      write_whole(paste0(file, ".tex"), function(path) write_latex(table, statistics, path))
    )
  }))
}

#' Write a table as LaTeX
#'
#' @param table One of [plan_tables()].
#' @param statistics For the experiment's name.
#' @param path The file.
write_latex <- function(table, statistics, path) {
  is_long <- nrow(table$shown) > LONGEST_TABLE
  is_number <- vapply(table$shown, looks_numeric, logical(1))
  caption <- sprintf("%s, experiment %s.", table$title, statistics$experiment)
  latex <- xtable::xtable(
    as.data.frame(table$shown, check.names = FALSE),
    caption = escape_latex(caption), label = paste0("tab:", gsub("_", "-", table$name)),
    align = c("l", ifelse(is_number, "r", "l")), digits = 0
  )
  text <- print(
    latex,
    booktabs = TRUE, include.rownames = FALSE, caption.placement = "top", comment = FALSE,
    sanitize.text.function = escape_latex, print.results = FALSE,
    format.args = list(big.mark = ","),
    tabular.environment = if (is_long) "longtable" else "tabular", floating = !is_long
  )
  packages <- if (is_long) "booktabs and longtable" else "booktabs"
  writeLines(enc2utf8(c(paste("% needs the packages", packages), text)), path, useBytes = TRUE)
}

LATEX_SIGNS <- c(
  "\\" = "\\textbackslash{}", "{" = "\\{", "}" = "\\}", "$" = "\\$", "&" = "\\&", "%" = "\\%",
  "#" = "\\#", "_" = "\\_", "^" = "\\textasciicircum{}", "~" = "\\textasciitilde{}",
  "<" = "\\textless{}", ">" = "\\textgreater{}", "|" = "\\textbar{}", "\u2013" = "--",
  "\u2026" = "\\ldots{}"
)

#' Escape text for LaTeX, also within a caption
#'
#' A `[` that begins a row would be taken for an argument of the `\\` before it.
#'
#' @param text Text.
#' @return Text.
escape_latex <- function(text) {
  escaped <- vapply(strsplit(text, ""), function(signs) {
    paste(ifelse(signs %in% names(LATEX_SIGNS), LATEX_SIGNS[signs], signs), collapse = "")
  }, character(1))
  sub("^\\[", "{[}", escaped)
}
