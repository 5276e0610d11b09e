"""The worker: one engine serving one model."""
