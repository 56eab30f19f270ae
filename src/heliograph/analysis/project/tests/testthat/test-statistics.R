test_that("Wilson intervals equal the published ones", {
  # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3
  bounds <- wilson_interval(c(81, 15, 0, 1), c(263, 148, 20, 29))
  expect_equal(bounds$lower, c(0.2553, 0.0624, 0.0000, 0.0061), tolerance = 5e-5, scale = 1)
  expect_equal(bounds$upper, c(0.3662, 0.1605, 0.1611, 0.1718), tolerance = 5e-5, scale = 1)
})

test_that("Wilson intervals equal those of prop.test() at any level", {
  for (level in c(0.5, 0.9, 0.999)) {
    for (k in c(0, 1, 37, 99, 100)) {
      expected <- suppressWarnings(prop.test(k, 100, conf.level = level, correct = FALSE)$conf.int)
      expect_equal(unlist(wilson_interval(k, 100, level), use.names = FALSE), as.numeric(expected))
    }
  }
})

test_that("Wilson intervals end exactly at 0 and 1, and are unknown without trials", {
  expect_identical(wilson_interval(0, 7)$lower, 0)
  expect_identical(wilson_interval(7, 7)$upper, 1)
  expect_true(all(is.na(wilson_interval(0, 0))))
})

test_that("accuracies become counts again", {
  cells <- count_right(make_cells(c(2 / 3, 0.5, 0.51), n = c(3, 10, 10), item_group = letters[1:3]))
  expect_identical(cells$k[1:2], c(2, 5))
  expect_equal(cells$k[[3]], 5.1)
})

test_that("an accuracy that is no share is an error that names the group", {
  cells <- make_cells(1.5, item_group = "agreement")
  expect_error(count_right(cells), "pairs, agreement: 1.5 of 100")
  expect_error(count_right(make_cells(NaN)), "not a share")
  expect_error(count_right(make_cells(0.5, n = 0)), "not a share")
})

test_that("checkpoints stand in the order of their steps, then as listed; unknown ones last", {
  names <- c("x", "final", "c-20", "c-100")
  cells <- make_cells(0.5, checkpoint = names, step = c(NA, 100, 20, 100))
  ordered <- order_checkpoints(cells, c("c-20", "c-100", "final", "x"))
  expect_identical(ordered$checkpoint, c("c-20", "c-100", "final", "x"))
  expect_identical(ordered$position, 1:4)
})

test_that("a data set pools the items of all groups and forms", {
  cells <- make_cells(
    c(0.5, 1, 0),
    n = c(10, 30, 60), item_group = c("a", "a", "b"), form = c("x", "y", "x")
  )
  overall <- summarise_evaluation(make_evaluation(cells))$overall
  expected <- data.table(groups = 2L, k = 35, n = 100, accuracy = 0.35)
  expect_equal(overall[, .(groups, k, n, accuracy)], expected)
})

test_that("perplexities pool to that of all the text together", {
  # group a: 100 tokens, 50 words, 300 nats; group b: 300 tokens, 200 words, 600 nats
  groups <- c("a", "b")
  tokens <- c(100, 300)
  words <- c(50, 200)
  nats <- c(300, 600)
  cells <- rbind(
    make_cells(exp(nats / tokens), metric = "perplexity", item_group = groups, n = c(1, 1000)),
    make_cells(nats / tokens, metric = "loss", item_group = groups, n = c(1, 1000)),
    make_cells(exp(nats / words), metric = "word_perplexity", item_group = groups, n = c(1, 1000))
  )
  predictions <- data.table(
    dataset = "pairs", checkpoint = "final", item_group = groups, form = "all", n_tokens = tokens
  )
  pooled <- pool_others(cells, predictions)
  expect_equal(pooled[metric == "perplexity", value], exp(900 / 400))
  expect_equal(pooled[metric == "loss", value], 900 / 400)
  expect_equal(pooled[metric == "word_perplexity", value], exp(900 / 250))
})

test_that("without predictions, and for any other metric, items are the weights", {
  cells <- make_cells(c(0.2, 0.8), metric = "f1", item_group = c("a", "b"), n = c(30, 10))
  expect_equal(pool_others(cells, NULL)$value, 0.35)
  cells <- make_cells(c(2, 8), metric = "perplexity", item_group = c("a", "b"), n = c(10, 10))
  expect_equal(pool_others(cells, NULL)$value, 4)
})

test_that("values that are not finite are left out and told of", {
  cells <- make_cells(c(Inf, 7), metric = "perplexity", item_group = c("a", "b"))
  statistics <- summarise_evaluation(make_evaluation(cells))
  expect_equal(statistics$others$value, 7)
  expect_match(statistics$notes, "1 values are not finite", all = FALSE)
})

test_that("guessing is told from the number of alternatives", {
  predictions <- data.table(
    dataset = c("pairs", "pairs", "text"), chance = c(0.5, 0.25, NA), n = c(1, 3, 5)
  )
  expect_equal(chance_levels(predictions), c(pairs = 0.3125))
})

test_that("disagreement with the stored answers is told", {
  cells <- count_right(make_cells(c(0.5, 0.7), item_group = c("a", "b")))
  answers <- cells[, .(dataset, checkpoint, item_group, form, n, k)]
  expect_identical(check_predictions(cells, answers), character())
  answers[2, k := 69]
  expect_match(check_predictions(cells, answers), "In 1 of 2 cells .*pairs, b")
})

test_that("what the evaluation lacks is said in sentences", {
  notes <- summarise_evaluation(make_evaluation(
    make_cells(0.5),
    failures = list(list(dataset = "d", checkpoint = "c-1", message = "no such file")),
    datasets = list(list(name = "pairs", n_skipped = 2, n_items = 1000))
  ))$notes
  expect_match(notes, "Only one checkpoint", all = FALSE)
  expect_match(notes, "No perplexity", all = FALSE)
  expect_match(notes, "Not evaluated: d at c-1. no such file", all = FALSE, fixed = TRUE)
  expect_match(notes, "could not score 2 of 1,000 items", all = FALSE)
})
