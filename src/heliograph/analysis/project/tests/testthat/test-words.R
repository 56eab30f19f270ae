hostile <- "a<b>&\"'`$x_1% \\end{tabular} #{}~^ [\u00fc\u4e2d]\n|"

test_that("HTML is escaped, backticks and line ends too", {
  escaped <- escape_html(hostile)
  expect_false(grepl("[<>\"'`\n]", escaped))
  expect_match(escaped, "a&lt;b&gt;&amp;&quot;&#39;&#96;", fixed = TRUE)
  expect_match(escaped, "\u00fc\u4e2d", fixed = TRUE)
})

test_that("LaTeX is escaped", {
  expect_identical(escape_latex("a_b & 50% $x$ #{}"), "a\\_b \\& 50\\% \\$x\\$ \\#\\{\\}")
  expect_identical(
    escape_latex("\\end~^"), "\\textbackslash{}end\\textasciitilde{}\\textasciicircum{}"
  )
  expect_identical(escape_latex("1.0\u20132.0"), "1.0--2.0")
  expect_identical(escape_latex("[x]"), "{[}x]") # would be an argument of the \\ of the row before
})

test_that("long names are shortened for show, broken above panels", {
  expect_identical(show_name("a\tb\nc"), "a b c")
  expect_identical(nchar(show_name(strrep("x", 100), 20)), 20L)
  expect_identical(
    show_panel("principle_A_domain_1_and_more_words"), "principle_A_domain_\n1_and_more_words"
  )
  expect_identical(show_panel(strrep("x", 40)), strrep("x", 40))
})

test_that("numbers are shown as people read them", {
  expect_identical(measured(c(33.9, 1234, 1.2e13)), c("33.90", "1,234", "1.200e+13"))
  expect_identical(count(c(2621440000, NA)), c("2,621,440,000", ""))
  expect_identical(percent(c(0.625, NA), 1), c("62.5%", ""))
  expect_identical(enumerate(c("a", "b", "c")), "a, b and c")
})
