"""Settings of the feedback service, from the environment."""

import secrets
from functools import partial

from pydantic import Field, SecretStr

from services.common.settings import ServiceSettings, read_settings


class FeedbackSettings(ServiceSettings):
    """See `ServiceSettings`; beside those, the learner and the judge.

    Attributes:
        address: where to listen; empty: the zoo's `feedback_address`.
        lease_seconds: how long the others wait for a learner that died.
        learner_id: unique name of this process among the zoo's learners.
        judge_api_key: of the judge's endpoint; empty where it needs none.
        judge_max_concurrent: judgements that run at once.

    """

    address: str = ""
    lease_seconds: float = Field(default=5.0, ge=0.3, le=300)
    learner_id: str = Field(default_factory=partial(secrets.token_hex, 16), min_length=1)
    judge_api_key: SecretStr = SecretStr("")
    judge_max_concurrent: int = Field(default=8, ge=1, le=1000)


def read() -> FeedbackSettings:
    """Settings of this process. Raises ConfigError with every wrong variable."""
    return read_settings(FeedbackSettings)
