"""The `messplus plan` command: table, figure and report."""
