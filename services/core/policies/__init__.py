"""Policies: which model serves a request, and how their state learns from the log."""
