"""Benchmarks: whole processes of ours beside those of peers, in one run, as ratios."""
