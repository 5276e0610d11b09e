"""What `messplus meters` shows: found and observed on this machine, laid out as a table."""
