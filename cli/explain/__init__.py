"""What `messplus explain` shows: fetched from a router, laid out as a table."""
