"""Measurements behind docs/benchmarks.md. Every comparison is a ratio of two things measured in one run."""
