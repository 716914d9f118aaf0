"""Benchmarks: each module runs alone, `python -m bench.NAME` or `scripts/bench NAME`."""
