"""The router: picks a model for every request and streams its answer."""
