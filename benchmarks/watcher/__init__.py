"""What the watcher costs and how fast it is, beside its peers: `python -m benchmarks.watcher --help`.

`heliograph watch` is measured from outside, as the process that people run: nothing here reaches into it.
"""
