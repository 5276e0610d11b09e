"""The `messplus profile` command: tables, figures and report."""
