"""What `messplus status` shows: fetched from the services, laid out as tables."""
