# Runs the tests of the project: cd DRIVE/analysis && Rscript tests/testthat.R

options(warn = 2)
testthat::test_dir("tests/testthat", reporter = "check", stop_on_warning = TRUE)
