# Runs the pipeline of `_targets.R` for one experiment: with targets or, where that is missing, with
# the fallback in `engine/`, which reads the same file.
#
#   HELIOGRAPH_EXPERIMENT=EXPERIMENT Rscript run.R [--engine auto|targets|fallback] [--failure FILE]
#
# --failure names a file that tells as JSON, should the run fail, which target failed and why. The
# exit status is 0 if every target is up to date, 7 if something is not installed, else 1.
#
# Where things are kept, beside this file, each experiment for itself:
#   _targets/EXPERIMENT            the store of targets
#   _targets_fallback/EXPERIMENT   the store of the fallback
#   .locks/EXPERIMENT              the lock, there while a run works

this_file <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
setwd(dirname(normalizePath(this_file)))
for (file in c(list.files("engine", "[.]R$", full.names = TRUE), "R/paths.R")) source(file)

quit(save = "no", status = main(commandArgs(trailingOnly = TRUE)))
