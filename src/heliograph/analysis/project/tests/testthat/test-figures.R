# Draws to a null device; a warning of ggplot2 is a failure.
draw <- function(figure) {
  grDevices::pdf(NULL, figure$width, figure$height)
  on.exit(grDevices::dev.off())
  expect_silent(print(figure$plot()))
}

many_cells <- function(groups = 3, steps = c(10, 20), forms = "all", ...) {
  grid <- CJ(item_group = sprintf("group_%03d", seq_len(groups)), step = steps, form = forms)
  make_cells(
    seq(0.2, 0.9, length.out = nrow(grid)),
    item_group = grid$item_group, step = grid$step, form = grid$form,
    checkpoint = paste0("checkpoint-", grid$step), ...
  )
}

names_of <- function(figures) vapply(figures, function(figure) figure$name, "")

test_that("every figure is drawn, with two forms, fields and a perplexity", {
  cells <- rbind(
    many_cells(forms = c("x", "y"), field = "syntax"),
    make_cells(
      c(30, 20),
      metric = "perplexity", dataset = "text", step = c(10, 20),
      checkpoint = paste0("checkpoint-", c(10, 20))
    )
  )
  figures <- plan_figures(summarise_evaluation(make_evaluation(cells)))
  expect_identical(names_of(figures), c(
    "accuracy_by_group-pairs", "learning_curve", "learning_curve_by_group-pairs",
    "metric-perplexity"
  ))
  for (figure in figures) draw(figure)
})

test_that("one checkpoint, one group: points and no curve", {
  figures <- plan_figures(summarise_evaluation(make_evaluation(make_cells(0.5))))
  expect_identical(names_of(figures), "accuracy_by_group-pairs")
  draw(figures[[1]])
})

test_that("one perplexity alone is drawn as a point", {
  cells <- make_cells(30, metric = "perplexity")
  figures <- plan_figures(summarise_evaluation(make_evaluation(cells)))
  expect_identical(names_of(figures), "metric-perplexity")
  draw(figures[[1]])
})

test_that("steps that are not known are replaced by the order", {
  cells <- many_cells(steps = c(10, 20))[step == 20, step := NA]
  figures <- plan_figures(summarise_evaluation(make_evaluation(cells)))
  expect_length(figures, 3)
  for (figure in figures) draw(figure)
})

test_that("many groups are spread over figures that fit on a page", {
  statistics <- summarise_evaluation(make_evaluation(many_cells(groups = 67, forms = c("x", "y"))))
  figures <- plan_figures(statistics)
  expect_identical(names_of(figures)[1:2], paste0("accuracy_by_group-pairs-", 1:2))
  expect_true(all(vapply(figures, function(figure) figure$height, 0) <= PAGE_HEIGHT))
  pages <- split_groups(at_last(statistics$accuracy), 52)
  expect_identical(lengths(lapply(pages, function(page) page$groups)), c(52L, 15L))
})

test_that("more forms than colours are drawn all the same", {
  statistics <- summarise_evaluation(make_evaluation(many_cells(forms = letters[1:11])))
  for (figure in plan_figures(statistics)) draw(figure)
})

test_that("where two checkpoints have one step, the curve shows the later one", {
  cells <- make_cells(c(0.4, 0.6, 0.7), checkpoint = c("c-1", "c-2", "final"), step = c(1, 2, 2))
  curve <- one_a_step(summarise_evaluation(make_evaluation(cells))$overall)
  expect_identical(curve$checkpoint, c("c-1", "final"))
})

test_that("a data set that only the earlier of two checkpoints with one step has keeps its point", {
  cells <- rbind(
    make_cells(c(0.6, 0.7), checkpoint = c("c-2", "final"), step = 2, dataset = "both"),
    make_cells(0.5, checkpoint = "c-2", step = 2, dataset = "one")
  )
  curve <- one_a_step(summarise_evaluation(make_evaluation(cells))$overall)
  expect_identical(curve[order(dataset), checkpoint], c("final", "c-2"))
})

test_that("a data set that the last checkpoint lacks is shown at its own last one", {
  cells <- rbind(
    make_cells(0.4, checkpoint = "c-1", step = 1, dataset = "old"),
    make_cells(c(0.5, 0.6), checkpoint = c("c-1", "c-2"), step = 1:2, dataset = "new")
  )
  statistics <- summarise_evaluation(make_evaluation(cells))
  expect_identical(at_last(statistics$overall)[order(dataset), checkpoint], c("c-2", "c-1"))
  for (figure in plan_figures(statistics)) draw(figure)
})
