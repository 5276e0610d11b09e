"""What `messplus energy` shows: fetched from the energy service, laid out as a table."""
