"""Offline planning: what should be in the zoo, at what cost."""
