"""Measurements behind docs/benchmarks.md. Every comparison is a ratio of two things measured in one run."""

from cli.threads import one_thread_for_blas

# As the command line and the learner have it.
one_thread_for_blas()
