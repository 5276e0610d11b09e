"""Adapters of the energy: one technology each, behind the ports."""
