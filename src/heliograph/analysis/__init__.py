"""The analysis: Parquet in; figures, tables and a report out, by R. The R project itself is in project/.

install    copies the R project to a drive, and brings it up to date without touching what a user changed
attempt    which attempt this process is
tools      the programs that it takes, and the environment that they see
process    R as a child process: its lines, its end, what it tells of a failure
manifest   what R says it made, checked against the files
tracking   the run in MLflow
pipeline   the order of it all
"""
