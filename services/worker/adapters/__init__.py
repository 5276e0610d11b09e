"""Adapters of the worker: one technology each, behind the ports."""
