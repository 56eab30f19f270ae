# The report: report.Rmd becomes one HTML file that needs nothing else, and that becomes a PDF.

LONGEST_WHOLE <- 20 # rows of a table that is kept on one page

#' Write reports/EXPERIMENT/report.html and report.pdf
#'
#' The HTML is put in place before the PDF is tried, so that it is there if the PDF fails.
#'
#' @param report_files report.Rmd and report.css.
#' @param statistics What [summarise_evaluation()] returns.
#' @param figures,tables Paths of files.
#' @param paths What [analysis_paths()] returns.
#' @return The two paths.
write_report <- function(report_files, statistics, figures, tables, paths) {
  folder <- tempfile("report")
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  # all under plain names in a local folder: the drive's path may hold what pandoc takes for markup
  file.copy(c(report_files, grep("[.]png$", figures, value = TRUE)), folder)
  html <- render_html(folder, list(statistics = statistics, tables = tables, paths = paths))
  pdf <- file.path(folder, "report.pdf")
  kept_html <- write_whole(file.path(paths$reports, "report.html"), function(p) file.copy(html, p))
  weasyprint <- find_program(
    "weasyprint", "HELIOGRAPH_WEASYPRINT", "Install it: pip install weasyprint"
  )
  run_program(weasyprint, c("--quiet", html, pdf), folder)
  c(kept_html, write_whole(file.path(paths$reports, "report.pdf"), function(p) file.copy(pdf, p)))
}

#' Render report.Rmd to one HTML file that loads nothing from a network
#'
#' @param folder A folder that holds report.Rmd, report.css and the PNG files.
#' @param report What the document shows; it is called `report` there.
#' @return The path of the HTML file.
render_html <- function(folder, report) {
  format <- rmarkdown::html_document(
    theme = NULL, highlight = NULL, mathjax = NULL, self_contained = TRUE, number_sections = TRUE,
    css = "report.css",
    pandoc_args = c("--metadata", paste0("pagetitle=Evaluation of ", report$statistics$experiment))
  )
  variables <- list2env(list(report = report), parent = parent.env(environment()))
  rmarkdown::render(
    file.path(folder, "report.Rmd"), format,
    output_file = "report.html", knit_root_dir = folder, envir = variables, quiet = TRUE
  )
}

#' Write HTML into an R Markdown document, where pandoc leaves it as it is
#'
#' @param ... Pieces of HTML.
#' @return Text for [knitr::asis_output()].
raw_html <- function(...) {
  knitr::asis_output(paste0("\n\n```{=html}\n", paste0(..., collapse = "\n"), "\n```\n\n"))
}

#' Count figures and tables
#'
#' @return A function of "Figure" or "Table" that gives the next caption's beginning, "Figure 1.".
new_counter <- function() {
  numbers <- c(Figure = 0, Table = 0)
  function(kind) {
    numbers[[kind]] <<- numbers[[kind]] + 1
    sprintf("<b>%s %d.</b>", kind, numbers[[kind]])
  }
}

#' Show planned figures
#'
#' @param figures Some of [plan_figures()].
#' @param label A counter.
#' @return HTML.
html_figures <- function(figures, label) {
  shown <- vapply(figures, function(figure) {
    sprintf(
      "<figure><img src=\"%s.png\" alt=\"%s\"/><figcaption>%s %s. %s</figcaption></figure>",
      figure$name, escape_html(paste0(figure$title, ". ", figure$caption)), label("Figure"),
      escape_html(figure$title), escape_html(figure$caption)
    )
  }, character(1))
  paste(shown, collapse = "\n")
}

#' Show a table
#'
#' @param table A data.table of text and numbers; numbers stand to the right.
#' @param caption Text.
#' @param label A counter.
#' @return HTML.
html_table <- function(table, caption, label) {
  right <- vapply(table, looks_numeric, logical(1))
  class <- ifelse(right, " class=\"number\"", "")
  cells <- vapply(seq_along(table), function(i) {
    html_cells(show_cell(table[[i]]), right[[i]])
  }, character(nrow(table)))
  rows <- apply(matrix(cells, nrow = nrow(table)), 1, paste, collapse = "")
  head <- sprintf("<th%s scope=\"col\">%s</th>", class, escape_html(names(table)))
  paste0(
    if (nrow(table) <= LONGEST_WHOLE) "<table class=\"whole\">" else "<table>",
    sprintf("<caption>%s %s</caption>", label("Table"), escape_html(caption)),
    "<thead><tr>", paste(head, collapse = ""), "</tr></thead>\n<tbody>",
    paste0("<tr>", rows, "</tr>", collapse = "\n"), "</tbody></table>"
  )
}

show_cell <- function(column) {
  if (is.numeric(column)) count(column) else ifelse(is.na(column), "", column)
}

#' Show facts as a list of terms
#'
#' @param facts A named list of text; what is `NULL`, `NA` or empty is left out.
#' @return HTML.
html_facts <- function(facts) {
  known <- Filter(function(fact) length(fact) > 0 && !is.na(fact[[1]]) && nzchar(fact[[1]]), facts)
  rows <- sprintf(
    "<tr><th scope=\"row\">%s</th><td>%s</td></tr>",
    escape_html(names(known)), escape_html(unlist(known))
  )
  paste0("<table class=\"facts whole\"><tbody>", paste(rows, collapse = "\n"), "</tbody></table>")
}

#' Show sentences as a list
html_list <- function(sentences) {
  paste0("<ul>", paste0("<li>", sentences, "</li>", collapse = ""), "</ul>")
}
