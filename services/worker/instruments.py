"""Names of this service's spans and metrics (OpenTelemetry's GenAI conventions)."""

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Observation

from services.common.telemetry import meter
from services.worker.ports import Load

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CHAT = "chat"


class Instruments:
    """Everything that a worker measures. Without an exporter a record costs next to nothing."""

    def __init__(self) -> None:
        m = meter()
        self.time_to_first_token = m.create_histogram(
            "gen_ai.server.time_to_first_token", "s", "From arrival to the first token, waiting included"
        )
        self.time_per_output_token = m.create_histogram(
            "gen_ai.server.time_per_output_token", "s", "Decode time per token after the first"
        )
        self.duration = m.create_histogram(
            "gen_ai.server.request.duration", "s", "From arrival to the last token"
        )
        self.refused = m.create_counter(
            "messplus.worker.refused", "{request}", "Requests that found the queue full"
        )
        self.cancelled = m.create_counter(
            "messplus.worker.cancelled", "{request}", "Generations that were cancelled"
        )

    def show_load(self, look: Callable[[], Load], attributes: Mapping[str, str]) -> None:
        """Makes gauges of what runs and waits; they ask whenever somebody collects."""

        def running(_: CallbackOptions) -> Iterable[Observation]:
            yield Observation(look().running, dict(attributes))

        def waiting(_: CallbackOptions) -> Iterable[Observation]:
            yield Observation(look().waiting, dict(attributes))

        create, unit = meter().create_observable_gauge, "{request}"
        create("messplus.worker.running", [running], unit, "Generations that run now")
        create("messplus.worker.waiting", [waiting], unit, "Generations that wait for a place")
