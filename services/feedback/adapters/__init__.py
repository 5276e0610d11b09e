"""Adapters of the feedback: one technology each, behind the ports."""
