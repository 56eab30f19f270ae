# The figures: what there is to draw, and how each one is drawn. Widths and heights are in inches.

TEXT_WIDTH <- 6.7 # of an A4 page with margins of 20 mm
PAGE_HEIGHT <- 8.6
ROWS_A_FIGURE <- 52
PANELS_A_FIGURE <- 35

#' Plan the figures of an experiment
#'
#' @param statistics What [summarise_evaluation()] returns.
#' @return A list of figures, each a list: `name` (of its files), `section` of the report, `title`,
#'   `caption`, `width`, `height`, `plot`, a function without arguments that makes the plot.
plan_figures <- function(statistics) {
  c(
    plan_group_figures(statistics),
    plan_overall_curve(statistics),
    plan_group_curves(statistics),
    plan_other_metrics(statistics)
  )
}

new_figure <- function(name, section, title, caption, height, plot) {
  list(
    name = name, section = section, title = title, caption = caption,
    width = TEXT_WIDTH, height = min(height, PAGE_HEIGHT), plot = plot
  )
}

plan_group_figures <- function(statistics) {
  rows <- at_last(statistics$accuracy)
  pages <- split_groups(rows, ROWS_A_FIGURE)
  lapply(pages, function(page) {
    shown <- rows[dataset == page$dataset & item_group %in% page$groups]
    height <- 1.3 + length(page$groups) * (0.135 + 0.075 * (uniqueN(shown$form) - 1)) +
      0.08 * uniqueN(shown$field)
    new_figure(
      paste0("accuracy_by_group-", page$dataset, page$suffix), "groups",
      paste0("Accuracy on ", page$dataset, page$part),
      sprintf(
        "Points: share of right answers at %s. Lines: %s Wilson score intervals.%s",
        shown$checkpoint[[1]], percent(statistics$config$confidence_level),
        chance_sentence(statistics, page$dataset)
      ),
      height, function() plot_groups(shown, chance_of(statistics, page$dataset))
    )
  })
}

plan_overall_curve <- function(statistics) {
  rows <- one_a_step(statistics$overall)
  if (nrow(rows) == 0 || uniqueN(rows$checkpoint) < 2) {
    return(list())
  }
  caption <- sprintf(
    "All items of each data set together. Bands: %s Wilson score intervals.",
    percent(statistics$config$confidence_level)
  )
  list(new_figure(
    "learning_curve", "curves", "Accuracy during training", caption, 3.4,
    function() plot_overall_curve(rows)
  ))
}

plan_group_curves <- function(statistics) {
  rows <- one_a_step(statistics$accuracy)
  rows <- rows[, if (uniqueN(checkpoint) > 1) .SD, by = dataset]
  if (nrow(rows) == 0) {
    return(list())
  }
  lapply(split_groups(rows, PANELS_A_FIGURE), function(page) {
    shown <- rows[dataset == page$dataset & item_group %in% page$groups]
    new_figure(
      paste0("learning_curve_by_group-", page$dataset, page$suffix), "curves",
      paste0("Accuracy on ", page$dataset, " during training, by item group", page$part),
      sprintf(
        "A panel for each item group, in the order of the figure above. Bands: %s intervals.%s",
        percent(statistics$config$confidence_level), chance_sentence(statistics, page$dataset)
      ),
      1.2 + 1.08 * ceiling(length(page$groups) / panel_columns(page$groups)),
      function() plot_group_curves(shown, chance_of(statistics, page$dataset))
    )
  })
}

plan_other_metrics <- function(statistics) {
  lapply(drawn_metrics(unique(statistics$others$metric)), function(name) {
    rows <- one_a_step(statistics$others[metric == name])
    new_figure(
      paste0("metric-", name), "others", paste0(sentence_case(name), " during training"),
      paste0("All items of each data set together: ", pooling_words(name), " over item groups."),
      3.2,
      function() plot_metric(rows, name)
    )
  })
}

#' Draw every figure as PNG (300 dpi) and PDF
#'
#' @param statistics What [summarise_evaluation()] returns.
#' @param paths What [analysis_paths()] returns.
#' @return The files' paths.
draw_figures <- function(statistics, paths) {
  unlist(lapply(plan_figures(statistics), function(figure) {
    plot <- figure$plot()
    file <- file.path(paths$figures, figure$name)
    c(
      save_figure(plot, paste0(file, ".png"), figure, open_png),
      save_figure(plot, paste0(file, ".pdf"), figure, open_pdf)
    )
  }))
}

#' Draw a plot to a local file, then put that in place
#'
#' @param plot A ggplot.
#' @param path The figure's file.
#' @param figure Its plan, for the size.
#' @param open_device A function of path, width and height.
#' @return `path`.
save_figure <- function(plot, path, figure, open_device) {
  local <- tempfile(fileext = paste0(".", tools::file_ext(path)))
  on.exit(unlink(local))
  open_device(local, figure$width, figure$height)
  tryCatch(print(plot), finally = grDevices::dev.off())
  write_whole(path, function(temporary) file.copy(local, temporary))
}

open_png <- function(path, width, height) {
  ragg::agg_png(path, width = width, height = height, units = "in", res = 300)
}

open_pdf <- function(path, width, height) {
  device <- if (capabilities("cairo")) grDevices::cairo_pdf else grDevices::pdf
  device(path, width = width, height = height)
}

#' Keep one checkpoint a training step, the last one: a curve has one value at each step
#'
#' Where a step is not known, the order of the checkpoints takes its place on the axis.
#'
#' @param rows Rows with `dataset`, `checkpoint`, `step` and `position`.
#' @return The rows with `x`, and `x_is_step`.
one_a_step <- function(rows) {
  if (nrow(rows) == 0) {
    return(rows)
  }
  is_step <- !anyNA(rows$step)
  rows <- copy(rows)[, x := if (is_step) as.numeric(step) else as.numeric(position)]
  rows <- rows[, .SD[position == max(position)], by = .(dataset, x)]
  rows[, x_is_step := is_step][]
}

#' Spread the item groups of each data set over figures of a readable size
#'
#' @param rows Rows with `dataset`, `item_group`, `field` and `accuracy`.
#' @param most The most groups that one figure takes.
#' @return A list of pages, each a list: `dataset`, `groups` (best first within a field), `suffix`
#'   of the file's name and `part` of the title, both empty where one page is enough.
split_groups <- function(rows, most) {
  pages <- lapply(unique(rows$dataset), function(name) {
    groups <- sort_groups(at_last(rows)[dataset == name])
    count <- ceiling(length(groups) / most)
    number <- ceiling(seq_along(groups) / most)
    lapply(seq_len(count), function(i) {
      several <- count > 1
      list(
        dataset = name, groups = groups[number == i], suffix = if (several) paste0("-", i) else "",
        part = if (several) sprintf(" (part %d of %d)", i, count) else ""
      )
    })
  })
  do.call(c, pages)
}

sort_groups <- function(rows) {
  means <- rows[, .(field = field[[1]], accuracy = sum(k) / sum(n)), by = item_group]
  means[order(field, -accuracy, item_group), item_group]
}

chance_of <- function(statistics, dataset) {
  if (dataset %in% names(statistics$chance)) statistics$chance[[dataset]] else NA_real_
}

chance_sentence <- function(statistics, dataset) {
  level <- chance_of(statistics, dataset)
  if (is.na(level)) "" else sprintf(" Dashed line: the accuracy of guessing, %s.", percent(level))
}

#' Leave out the metrics that say the same as perplexity on another scale
drawn_metrics <- function(metrics) {
  if ("perplexity" %in% metrics) {
    metrics <- metrics[metrics != "loss" & !endsWith(metrics, "_perplexity")]
  }
  metrics
}
