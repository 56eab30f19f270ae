# Values and names as people read them.

#' Show a share as per cent
#'
#' @param x A numeric vector between 0 and 1.
#' @param digits Digits after the point; `NULL` shows as many as there are, at most four in all.
#' @return Text, for instance "62.5%"; empty for `NA`.
percent <- function(x, digits = NULL) {
  text <- if (is.null(digits)) sprintf("%.4g%%", 100 * x) else sprintf("%.*f%%", digits, 100 * x)
  ifelse(is.na(x), "", text)
}

#' Show an interval of shares
#'
#' @param lower,upper Numeric vectors between 0 and 1.
#' @return Text, for instance "60.1-64.9".
interval <- function(lower, upper) {
  sprintf("%.1f\u2013%.1f", 100 * lower, 100 * upper)
}

#' Show a count with commas between the thousands
count <- function(x) {
  ifelse(is.na(x), "", formatC(as.numeric(x), format = "f", digits = 0, big.mark = ","))
}

#' Show a number of any size with four significant digits
number <- function(x) {
  ifelse(is.na(x), "", formatC(signif(x, 4), format = "fg", big.mark = ","))
}

#' Show a measured value with four significant digits, zeros at the end included
measured <- function(x) {
  text <- formatC(x, digits = 4, format = "fg", flag = "#", big.mark = ",")
  ifelse(abs(x) < 1e6, sub("[.]$", "", trimws(text)), sprintf("%.3e", x))
}

#' Tell whether a column of text or numbers stands to the right in a table
looks_numeric <- function(column) {
  is.numeric(column) || all(grepl("^([-0-9.,\u2013e+]+|Inf|)$", column))
}

sentence_case <- function(text) {
  paste0(toupper(substr(text, 1, 1)), gsub("_", " ", substring(text, 2), fixed = TRUE))
}

#' Show a name that somebody else chose: on one line and not too long
#'
#' @param text Names.
#' @param width The most characters.
#' @return Text.
show_name <- function(text, width = 56) {
  text <- gsub("[[:cntrl:]]+", " ", text)
  long <- !is.na(text) & nchar(text) > width
  text[long] <- paste0(substr(text[long], 1, width - 1), "\u2026")
  text
}

#' Show a name above a panel: broken into two lines at a `_` or space, if it is long
#'
#' @param text Names.
#' @param width The most characters in a line.
#' @return Text.
show_panel <- function(text, width = 28) {
  text <- show_name(text, 2 * width - 2)
  vapply(text, function(name) {
    if (nchar(name) <= width) {
      return(name)
    }
    cuts <- gregexpr("[_ ]", name)[[1]]
    near <- cuts[which.min(abs(cuts - nchar(name) / 2))]
    if (near < 1) name else paste0(substr(name, 1, near), "\n", substring(name, near + 1))
  }, character(1), USE.NAMES = FALSE)
}

#' Escape text for HTML
#'
#' A backtick is escaped too: three of them would end the raw HTML inside R Markdown.
#'
#' @param text Text.
#' @return Text.
escape_html <- function(text) {
  text <- gsub("[[:cntrl:]]+", " ", as.character(text))
  entities <- c(
    "&" = "&amp;", "<" = "&lt;", ">" = "&gt;", "\"" = "&quot;", "'" = "&#39;", "`" = "&#96;"
  )
  for (sign in names(entities)) text <- gsub(sign, entities[[sign]], text, fixed = TRUE)
  text
}

#' Make cells of a table; a long name may break after a `_`, and anywhere if it must
#'
#' @param text Text.
#' @param is_right Whether it stands to the right.
#' @return HTML.
html_cells <- function(text, is_right) {
  escaped <- escape_html(text)
  is_long <- nchar(text) > 30
  escaped[is_long] <- gsub("_", "_<wbr/>", escaped[is_long], fixed = TRUE)
  class <- if (is_right) " class=\"number\"" else ifelse(is_long, " class=\"long\"", "")
  sprintf("<td%s>%s</td>", class, escaped)
}

#' Say how a metric is pooled over item groups
#'
#' @param metric Its name.
#' @return Text that follows "as" or a semicolon.
pooling_words <- function(metric) {
  if (metric == "loss") {
    return("the mean weighted by tokens")
  }
  if (!endsWith(metric, "perplexity")) {
    return("the mean weighted by items")
  }
  unit <- if (metric == "perplexity") "token" else sub("_perplexity", "", metric, fixed = TRUE)
  sprintf("the geometric mean weighted by %ss", unit)
}
