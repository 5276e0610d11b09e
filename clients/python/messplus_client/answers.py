"""What comes back of a request."""

from dataclasses import dataclass

from messplus.common.v1 import common_pb2
from messplus.router.v1 import router_service_pb2 as pb


@dataclass(slots=True)
class Answer:
    """An answer as far as it has come; `finish_reason` is empty until its end.

    Attributes:
        decision: which model was chosen and what was expected of it; set with the first text.
        finished: usage, joules and times; set at the end.

    """

    text: str = ""
    decision: pb.Decision | None = None
    finished: pb.Finished | None = None

    def take(self, response: pb.GenerateResponse) -> str:
        """Adds a message of the stream; returns its text."""
        if response.HasField("decision"):
            self.decision = response.decision
        elif response.HasField("finished"):
            self.finished = response.finished
        self.text += response.delta.text
        return response.delta.text

    @property
    def request_id(self) -> str:
        """The request, as `messplus explain` and `messplus energy` take it."""
        return self.decision.request_id if self.decision else ""

    @property
    def model_id(self) -> str:
        """The model that answered."""
        return self.decision.model_id if self.decision else ""

    @property
    def finish_reason(self) -> str:
        """stop, length, cancelled or error."""
        if self.finished is None:
            return ""
        name = common_pb2.FinishReason.Name(self.finished.finish_reason)
        return name.removeprefix("FINISH_REASON_").lower()

    @property
    def energy_joules(self) -> float | None:
        """Joules of the served generation; None before the end."""
        return self.finished.energy.energy_joules if self.finished else None

    @property
    def energy_quality(self) -> str:
        """measured, modelled or estimated; empty before the end."""
        if self.finished is None:
            return ""
        name = common_pb2.EnergyQuality.Name(self.finished.energy.quality)
        return name.removeprefix("ENERGY_QUALITY_").lower()
