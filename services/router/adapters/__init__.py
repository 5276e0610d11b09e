"""Adapters of the router: one technology each, behind the ports."""
