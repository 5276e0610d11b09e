"""The `messplus replay` command: sources by file name, table, figures and report."""
