"""Settings of a worker process; the only place of this service that reads the environment."""

from pydantic import Field

from services.common.settings import ServiceSettings
from services.common.zoo_values import NAME_PATTERN


class WorkerProcessSettings(ServiceSettings):
    """What a worker needs to know beyond the zoo file.

    Attributes:
        model: id of the model to serve, one of the zoo's.
        address: where to listen; empty: the zoo's address of the first worker with this model.

    """

    model: str = Field(pattern=NAME_PATTERN)
    address: str = ""
