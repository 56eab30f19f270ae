"""What the in-job runner is made of: the claim, the command and its signals, what is told, the logs."""
