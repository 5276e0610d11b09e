"""Where the servers of a remote engine are, as a zoo file says it."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from services.common.zoo_values import Section, unrepeated

_URL = re.compile(r"^https?://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[^\s?#@]*)?$")
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


def _check_url(url: str) -> str:
    if not _URL.match(url):
        raise ValueError('must be "http://host:port/path" or https, without user, query or fragment')
    return url.rstrip("/")


ServerUrl = Annotated[str, AfterValidator(_check_url)]


class ServerSettings(Section):
    """The servers of a model with engine `openai` or `tgi`: replicas that all serve the same.

    Attributes:
        urls: their base URLs: for `openai` with the path of the API, "http://gpu1:8000/v1"; for `tgi`
            without, "http://gpu1:8080".
        model: the name that the servers know it by; empty: the only one they have.
        api_key_env: the NAME of an environment variable of the worker that holds the key; empty: none.
            The key itself never stands in a zoo file.
        connect_timeout_seconds: until a connection stands.
        first_token_timeout_seconds: from the request to its first token, the server's queue included.
        stall_timeout_seconds: between two pieces of an answer.
        start_timeout_seconds: how long a starting worker waits for its servers to load the model.
        retries: further attempts before the first token, on another replica where there is one.

    """

    urls: tuple[ServerUrl, ...] = Field(min_length=1, max_length=64)
    model: str = Field(default="", max_length=256)
    api_key_env: str = Field(default="", pattern=r"^([A-Z][A-Z0-9_]{0,127})?$")
    connect_timeout_seconds: Seconds = 5.0
    first_token_timeout_seconds: Seconds = 60.0
    stall_timeout_seconds: Seconds = 30.0
    start_timeout_seconds: Seconds = 900.0
    retries: int = Field(default=2, ge=0, le=10)

    _no_url_twice = field_validator("urls")(unrepeated)
