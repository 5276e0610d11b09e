"""Where outcomes come from: one module per file format."""
