"""The story of one `ReportOutcome`: a caller that ran the model himself tells how it went."""

from services.common.decision_token import DecisionTokens
from services.common.event_codec import encode_event
from services.core.decisions import served_generation_id
from services.core.errors import NotFoundError
from services.core.events import EnergyAttributed, Outcome, Role
from services.router.ports import EventLog


class ReportOutcome:
    """Appends outcome and joules, if the caller has the decision id. A repeat is harmless in the fold."""

    def __init__(self, log: EventLog, tokens: DecisionTokens) -> None:
        self._log, self._tokens = log, tokens

    async def report(self, decision_id: str, outcome: Outcome, energy: EnergyAttributed | None) -> str:
        """Position of the outcome in the log. Raises NotFoundError, StateUnavailableError."""
        if not self._tokens.matches(outcome.request_id, decision_id):
            raise NotFoundError("decision", decision_id, f"it is not that of request {outcome.request_id!r}")
        events = [encode_event(outcome)] + ([encode_event(energy)] if energy else [])
        return (await self._log.append(events))[0]


def role_of(request_id: str, generation_id: str) -> Role:
    """Whether a generation that `Decide` asked for was to be served or only learned from."""
    return Role.SERVED if generation_id == served_generation_id(request_id) else Role.EXPLORED
