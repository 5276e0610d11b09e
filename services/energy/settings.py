"""Settings of the energy service, from the environment (`MESSPLUS_*`)."""

from pydantic import Field

from services.common.settings import ServiceSettings


class EnergyServiceSettings(ServiceSettings):
    """What only the energy service needs to know.

    Attributes:
        energy_listen: address to listen at; empty: the one in the zoo file.
        energy_poll_seconds: time between two looks at what the meters have read; how often a counter itself
            is sampled says the zoo file.
        energy_worker_timeout_seconds: a worker that reports nothing for so long is gone.
        energy_recent_requests: requests whose figures are kept for look-ups.
        energy_buffer_events: events that wait while Redis is away; one more drops the oldest.

    """

    energy_listen: str = ""
    energy_poll_seconds: float = Field(default=0.02, ge=0.01, le=10)
    energy_worker_timeout_seconds: float = Field(default=10.0, ge=0.5, le=3600)
    energy_recent_requests: int = Field(default=10_000, ge=1, le=1_000_000)
    energy_buffer_events: int = Field(default=20_000, ge=1, le=1_000_000)
