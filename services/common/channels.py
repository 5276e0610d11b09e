"""How a service's connections behave that last as long as it."""

__all__ = ["RECONNECT_OPTIONS"]

RECONNECT_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
"""gRPC's own pauses grow to two minutes: for so long a service that is back would go without its peers."""
