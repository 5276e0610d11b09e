"""Plumbing that every service shares: server bootstrap, errors, telemetry, Redis keys, configuration."""
