# The sentences of the report that depend on the results. All return HTML; names are escaped.

html_heading <- function(statistics) {
  paste0(
    "<header><p class=\"kind\">Evaluation report</p>",
    "<h1 class=\"title\">", escape_html(statistics$experiment), "</h1>",
    "<p class=\"date\">", format(Sys.time(), "%d %B %Y", tz = "UTC"), "</p></header>"
  )
}

question_text <- function(statistics) {
  datasets <- unique(statistics$cells$dataset)
  checkpoints <- nrow(statistics$checkpoints)
  paste0(
    "How well does the model of the experiment <b>", escape_html(statistics$experiment),
    "</b> do on ", enumerate(escape_html(datasets)),
    if (nrow(statistics$accuracy) > 1) ", by item group", if (has_forms(statistics)) " and form",
    if (checkpoints > 1) {
      sprintf(", and how did that change over %d checkpoints of its training", checkpoints)
    },
    "?"
  )
}

has_forms <- function(statistics) {
  uniqueN(statistics$accuracy$form) > 1
}

#' The main results in one line each
html_summary <- function(statistics) {
  accuracies <- at_last(statistics$overall)
  others <- at_last(statistics$others)
  level <- percent(statistics$config$confidence_level)
  lines <- c(
    sprintf(
      "<b>%s</b> of the %s items of <b>%s</b> right at %s (%s interval %s%%)",
      percent(accuracies$accuracy, 1), count(accuracies$n), escape_html(accuracies$dataset),
      escape_html(accuracies$checkpoint), level, interval(accuracies$lower, accuracies$upper)
    ),
    sprintf(
      "%s <b>%s</b> on <b>%s</b> at %s", sentence_case(others$metric), measured(others$value),
      escape_html(others$dataset), escape_html(others$checkpoint)
    )[others$metric %in% drawn_metrics(others$metric)]
  )
  paste0("<div class=\"summary\">", html_list(lines), "</div>")
}

html_methods <- function(statistics) {
  level <- statistics$config$confidence_level
  has_accuracy <- nrow(statistics$accuracy) > 0
  others <- unique(statistics$others$metric)
  paste0(
    if (has_accuracy) wilson_html(level),
    if (length(others) > 0) {
      pooled <- paste(others, "as", vapply(others, pooling_words, character(1)))
      all <- paste(pooled, collapse = "; ")
      sprintf("<p>Other metrics are pooled over item groups: %s.</p>", all)
    },
    "<p>Checkpoints stand in the order of their training steps. Where two have the same step, as ",
    "the last checkpoint and the final model do, the curves show the one that the evaluation ",
    "lists last.</p>"
  )
}

#' Explain the Wilson interval, with its formula set in HTML, which needs no script and prints as
#' well
#'
#' @param level The confidence level.
wilson_html <- function(level) {
  z2 <- "<i>z</i><sup>2</sup>"
  fraction <- function(top, bottom) {
    sprintf(
      "<span class=\"fraction\"><span>%s</span><span class=\"below\">%s</span></span>", top, bottom
    )
  }
  p <- "<i>p&#770;</i>"
  root <- paste0(
    "<span class=\"root\">&#8730;</span><span class=\"radicand\">",
    fraction(sprintf("%s (1 \u2212 %s)", p, p), "<i>n</i>"), " + ",
    fraction(z2, "4<i>n</i><sup>2</sup>"), "</span>"
  )
  formula <- fraction(
    paste(p, "+", fraction(z2, "2<i>n</i>"), "\u00b1 <i>z</i>", root),
    paste("1 +", fraction(z2, "<i>n</i>"))
  )
  paste0(
    "<p>Accuracy is the share ", p, " = <i>k</i>/<i>n</i> of right answers among the <i>n</i> ",
    "items of an item group, in one form and at one checkpoint. A whole data set pools the items ",
    "of all its groups and forms. Every accuracy is given with the score interval of Wilson ",
    "(1927),</p>",
    "<p class=\"formula\">", formula, ",</p>",
    sprintf(
      "<p>where <i>z</i> = %.3f is the quantile of the normal distribution for the level %s. ",
      qnorm((1 + level) / 2), percent(level)
    ),
    "Unlike the interval of the normal approximation it stays within 0 and 1, and it keeps its ",
    "level for accuracies near 0 or 1 and for small groups.</p>"
  )
}

#' The best and the worst group, and how many differ from guessing
groups_text <- function(statistics) {
  rows <- at_last(statistics$accuracy)
  sentences <- vapply(unique(rows$dataset), function(name) {
    dataset_sentence(rows[dataset == name], chance_of(statistics, name))
  }, character(1))
  paste(sentences, collapse = " ")
}

dataset_sentence <- function(cells, chance) {
  cell_name <- function(cell) {
    form <- if (uniqueN(cells$form) > 1) sprintf(", form %s", escape_html(cell$form))
    paste0("<b>", escape_html(cell$item_group), "</b>", form, " (", percent(cell$accuracy, 1), ")")
  }
  names <- escape_html(c(cells$dataset[[1]], cells$checkpoint[[1]]))
  start <- sprintf("On %s at %s", names[[1]], names[[2]])
  if (nrow(cells) == 1) {
    return(paste0(start, " there is one item group, ", cell_name(cells), "."))
  }
  if (uniqueN(cells$accuracy) == 1) {
    return(paste0(start, " all item groups have the same accuracy."))
  }
  paste0(
    start, ", the highest accuracy is that of ", cell_name(cells[which.max(accuracy)]),
    ", the lowest that of ", cell_name(cells[which.min(accuracy)]), ". ",
    if (!is.na(chance)) {
      sprintf(
        "Of %d accuracies, %d lie above guessing with their whole interval, and %d below.",
        nrow(cells), sum(cells$lower > chance), sum(cells$upper < chance)
      )
    }
  )
}

#' From the first to the last checkpoint
curve_text <- function(statistics) {
  rows <- statistics$overall
  sentences <- vapply(unique(rows$dataset), function(name) {
    own <- rows[dataset == name]
    if (nrow(own) == 1) {
      return(sprintf("%s was evaluated at one checkpoint.", escape_html(name)))
    }
    change <- sprintf("%+.1f", 100 * (own$accuracy[[nrow(own)]] - own$accuracy[[1]]))
    sprintf(
      "On %s accuracy went from %s at %s to %s at %s (%s points).", escape_html(name),
      percent(own$accuracy[[1]], 1), escape_html(own$checkpoint[[1]]),
      percent(own$accuracy[[nrow(own)]], 1), escape_html(own$checkpoint[[nrow(own)]]),
      sub("-", "\u2212", change, fixed = TRUE)
    )
  }, character(1))
  paste(sentences, collapse = " ")
}

#' What the numbers do not say
caveats <- function(statistics) {
  c(
    if (nrow(statistics$accuracy) > 1) {
      paste(
        "Each interval has its level for itself. Of many intervals some will miss their true value",
        "by chance, and comparing the extremes of many groups exaggerates differences."
      )
    },
    if (nrow(statistics$accuracy) > 0) {
      paste(
        "The intervals treat items as independent draws. They tell how exactly accuracy is known",
        "on items like these; they say nothing about item groups that were not tested."
      )
    },
    if (has_forms(statistics)) {
      paste(
        "Forms of one item share their material. Whether two intervals overlap is no test of a",
        "difference between forms; that takes a paired test."
      )
    },
    if (nrow(statistics$checkpoints) > 1) {
      "All checkpoints answer the same items, so the points of a curve are not independent."
    },
    if ("perplexity" %in% statistics$others$metric) {
      "Perplexities compare only between models that share a tokeniser."
    },
    "One training run was evaluated. How much another random seed would change is not known."
  )
}

html_references <- function(statistics) {
  landau <- paste(
    "Landau, W. M. (2021). The targets R package: A dynamic Make-like function-oriented pipeline",
    "toolkit for reproducibility and high-performance computing. <i>Journal of Open Source",
    "Software, 6</i>(57), 2959."
  )
  okabe <- paste(
    "Okabe, M., &amp; Ito, K. (2008). <i>Color universal design: How to make figures and",
    "presentations that are friendly to colorblind people</i>."
  )
  wickham <- "Wickham, H. (2016). <i>ggplot2: Elegant graphics for data analysis</i>. Springer."
  wilson <- paste(
    "Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference.",
    "<i>Journal of the American Statistical Association, 22</i>(158), 209\u2013212."
  )
  references <- c(
    if (startsWith(engine_name(), "targets")) landau, okabe, wickham,
    if (nrow(statistics$accuracy) > 0) wilson
  )
  paste0("<p class=\"reference\">", references, "</p>", collapse = "\n")
}

#' The long table, and where the numbers stand as files
html_appendix <- function(groups, files, paths, label) {
  names <- substring(files, nchar(paths$drive) + 2)
  paste0(
    "<h1 class=\"unnumbered\">Appendix: tables</h1>",
    "<p>Every number stands on the drive too, as CSV and as LaTeX: ",
    paste0("<code>", escape_html(names), "</code>", collapse = ", "), ".</p>",
    if (length(groups) > 0) {
      html_table(groups[[1]]$shown, paste0(groups[[1]]$title, "."), label)
    }
  )
}

#' Join words: a, b and c
enumerate <- function(words) {
  last <- length(words)
  if (last < 2) words else paste(paste(words[-last], collapse = ", "), "and", words[[last]])
}
