"""The `messplus moe` command: table, figures and report."""
