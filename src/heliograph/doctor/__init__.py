"""`heliograph doctor`: whether this host, the drive and everything between them are fit for the work.

One file an area: thin probes that gather facts, and beside them pure functions that judge: facts in, findings
out. Every area is examined by a child process that may hang on a dead drive; whoever asked does not.
"""
