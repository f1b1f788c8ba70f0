"""Benchmarks: artifacts run in turn, each in its own process; all samples are kept."""
