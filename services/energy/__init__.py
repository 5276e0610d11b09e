"""The energy service: meters and attribution."""
