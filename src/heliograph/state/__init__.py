"""The state of the pipeline: three databases that are projections of the journal, and their snapshots."""
