"""The `messplus pareto` command: tables, figures and report."""
