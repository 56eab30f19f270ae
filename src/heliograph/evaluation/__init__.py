"""The evaluation worker: a checkpoint and data sets in, Parquet, metadata and a signal out.

config, plan          what base_eval.yaml, a data set's YAML and the command line ask for
data                  the bytes of a data set, line by line, hashed as they are read
task                  what a task is;  minimal_pairs, perplexity: the tasks;  tasks: those that are known
tokenizer, models     text to tokens; a checkpoint folder to log-probabilities
scoring, tally        items in, scored items out, in batches under a token budget; counted by group
results, finished     Parquet files; what need not be done again
candidate, worker     every data set at every checkpoint
conclusion, tracking  eval_metadata.json, the signal; the run in MLflow
service               the order of it all: what `heliograph evaluate` calls
"""
