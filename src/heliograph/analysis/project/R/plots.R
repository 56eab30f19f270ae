# The plots themselves. Colours after Okabe and Ito (2008), which people with any colour vision can
# tell apart; shape or line type says the same again, for print in grey.

OKABE_ITO <- c(
  "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"
)
SHAPES <- c(16, 17, 15, 18, 1, 2, 0)
LINES <- c("solid", "22", "42", "44", "13", "1343", "73", "2262")

#' The look of all figures
plot_theme <- function() {
  theme_bw(base_size = 9) +
    theme(
      panel.grid.minor = element_blank(),
      panel.grid.major = element_line(linewidth = 0.25, colour = "grey90"),
      panel.border = element_rect(linewidth = 0.4, colour = "grey50"),
      axis.ticks = element_line(linewidth = 0.25, colour = "grey50"),
      strip.background = element_blank(),
      strip.text = element_text(size = 7.5, face = "bold"),
      legend.position = "bottom", legend.margin = margin(0, 0, 0, 0),
      plot.margin = margin(4, 6, 4, 4)
    )
}

#' Scales of colour, shape and line type that belong together
#'
#' @param values The values that are told apart.
#' @param title The legend's title.
#' @return A list of ggplot scales; no legend where there is one value only.
paired_scales <- function(values, title) {
  values <- unique(as.character(values))
  rows <- ceiling(length(values) / 4)
  guide <- if (length(values) > 1) guide_legend(title, nrow = rows) else "none"
  cycle <- function(palette) setNames(rep_len(palette, length(values)), values)
  list(
    scale_colour_manual(values = cycle(OKABE_ITO), labels = show_name, guide = guide),
    scale_fill_manual(values = cycle(OKABE_ITO), labels = show_name, guide = guide),
    scale_shape_manual(values = cycle(SHAPES), labels = show_name, guide = guide),
    scale_linetype_manual(values = cycle(LINES), labels = show_name, guide = guide)
  )
}

#' Accuracy of each item group with its interval
#'
#' @param rows The cells of one data set and checkpoint.
#' @param chance The accuracy of guessing, or `NA`.
#' @return A ggplot.
plot_groups <- function(rows, chance) {
  rows <- copy(rows)[, item_group := factor(item_group, rev(sort_groups(rows)))]
  dodge <- position_dodge(width = 0.6)
  plot <- ggplot(rows, aes(accuracy, item_group, colour = form, shape = form)) +
    (if (!is.na(chance)) geom_vline(xintercept = chance, linetype = "dashed", linewidth = 0.35)) +
    geom_linerange(aes(xmin = lower, xmax = upper), position = dodge, linewidth = 0.5) +
    geom_point(position = dodge, size = 1.4) +
    scale_x_continuous(labels = percent, breaks = seq(0, 1, 0.25), expand = expansion(add = 0.01)) +
    scale_y_discrete(labels = show_name) +
    coord_cartesian(xlim = c(0, 1)) +
    paired_scales(rows$form, "Form") +
    labs(x = "Accuracy", y = NULL) +
    plot_theme() +
    theme(
      axis.text.y = element_text(size = 6.5), panel.grid.major.y = element_blank(),
      strip.text.y = element_text(angle = 270)
    )
  if (anyNA(rows$field) || uniqueN(rows$field) < 2) {
    return(plot)
  }
  plot + facet_grid(
    rows = vars(field), scales = "free_y", space = "free_y", labeller = as_labeller(show_panel)
  )
}

#' Accuracy of whole data sets over training
#'
#' @param rows One row a data set and step.
#' @return A ggplot.
plot_overall_curve <- function(rows) {
  ggplot(rows, aes(x, accuracy, colour = dataset, shape = dataset, linetype = dataset)) +
    geom_ribbon(aes(ymin = lower, ymax = upper, fill = dataset), alpha = 0.18, colour = NA) +
    geom_line(linewidth = 0.6) +
    geom_point(size = 1.6) +
    x_scale(rows) +
    scale_y_continuous(labels = scales::label_percent()) +
    paired_scales(rows$dataset, "Data set") +
    labs(x = x_title(rows), y = "Accuracy") +
    plot_theme()
}

#' Accuracy of each item group over training, a panel each
#'
#' @inheritParams plot_groups
#' @return A ggplot.
plot_group_curves <- function(rows, chance) {
  groups <- sort_groups(at_last(rows))
  rows <- copy(rows)[, item_group := factor(item_group, groups)]
  ggplot(rows, aes(x, accuracy, colour = form, shape = form, linetype = form)) +
    (if (!is.na(chance)) geom_hline(yintercept = chance, linetype = "dashed", linewidth = 0.3)) +
    geom_ribbon(aes(ymin = lower, ymax = upper, fill = form), alpha = 0.2, colour = NA) +
    geom_line(linewidth = 0.45) +
    geom_point(size = 0.8) +
    facet_wrap(vars(item_group), ncol = panel_columns(groups), labeller = as_labeller(show_panel)) +
    x_scale(rows, most = 3) +
    scale_y_continuous(labels = percent, breaks = c(0, 0.5, 1)) +
    coord_cartesian(ylim = c(0, 1)) +
    paired_scales(rows$form, "Form") +
    labs(x = x_title(rows), y = "Accuracy") +
    plot_theme() +
    theme(
      axis.text = element_text(size = 6), panel.spacing = unit(3, "pt"),
      strip.text = element_text(size = 5.5, face = "plain", margin = margin(1, 0, 1, 0))
    )
}

#' Another metric of whole data sets over training; points only where there is one checkpoint
#'
#' @param rows One row a data set and step.
#' @param name The metric.
#' @return A ggplot.
plot_metric <- function(rows, name) {
  is_perplexity <- endsWith(name, "perplexity")
  scale <- if (is_perplexity) scale_y_log10 else scale_y_continuous
  ggplot(rows, aes(x, value, colour = dataset, shape = dataset, linetype = dataset)) +
    (if (uniqueN(rows$x) > 1) geom_line(linewidth = 0.6)) +
    geom_point(size = 1.8) +
    x_scale(rows) +
    scale(labels = scales::label_number(accuracy = NULL, big.mark = ",")) +
    paired_scales(rows$dataset, "Data set") +
    labs(x = x_title(rows), y = paste0(sentence_case(name), if (is_perplexity) " (log scale)")) +
    plot_theme()
}

#' The axis of training: steps, or the checkpoints in order where a step is not known
#'
#' @param rows Rows with `x`, `x_is_step` and `checkpoint`.
#' @param most How many labels there is room for.
#' @return A ggplot scale.
x_scale <- function(rows, most = 8) {
  points <- unique(rows[order(x), .(x, checkpoint)], by = "x")
  expand <- expansion(mult = 0.06)
  if (rows$x_is_step[[1]]) {
    breaks <- if (nrow(points) <= min(most, 4)) points$x else scales::breaks_extended(most)
    labels <- scales::label_number(scale_cut = scales::cut_short_scale())
    return(scale_x_continuous(breaks = breaks, labels = labels, expand = expand))
  }
  shown <- points[unique(round(seq(1, .N, length.out = min(.N, most))))]
  scale_x_continuous(breaks = shown$x, labels = show_name(shown$checkpoint, 16), expand = expand)
}

x_title <- function(rows) {
  if (rows$x_is_step[[1]]) "Training step" else "Checkpoint"
}

panel_columns <- function(groups) {
  min(5, length(groups))
}
