"""Names of this service's metrics and span attributes."""

from services.common.telemetry import meter

SOURCE = "messplus.label.source"
ENTRIES = "messplus.fold.entries"


class Instruments:
    """Everything that the feedback service counts. Without an exporter a count costs next to nothing."""

    def __init__(self) -> None:
        m = meter()
        self.labels = m.create_counter("messplus.labels", "{label}", "Labels recorded, by source")
        self.not_judged = m.create_counter(
            "messplus.labels.not_judged", "{answer}", "Answers that a labeler could not judge"
        )
        self.missing_texts = m.create_counter(
            "messplus.labels.missing_texts", "{answer}", "Answers whose text was gone before it was judged"
        )
        self.learned = m.create_counter("messplus.learner.labels", "{label}", "Labels learned from")
        self.dead = m.create_counter("messplus.learner.dead_events", "{event}", "Events put aside")
        self.checkpoint_seconds = m.create_histogram(
            "messplus.learner.checkpoint.duration", "s", "Time to write a checkpoint"
        )
        self.lag = m.create_gauge(
            "messplus.learner.lag", "{event}", "Events in the log that the checkpoint does not cover"
        )
