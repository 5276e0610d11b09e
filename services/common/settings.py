"""Settings that every service has, read from the environment (`MESSPLUS_*`) in one place per service."""

import os
import socket
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.core.errors import ConfigError, ConfigProblem


class ServiceSettings(BaseSettings):
    """What every service needs to know.

    Attributes:
        zoo_file: the zoo file.
        redis_url: Redis or Valkey, for example "redis://127.0.0.1:6379/0".
        instance_id: name of this process in traces and the log.
        drain_seconds: how long a stopping service waits for running calls.
        log_level: of the process's log on standard error.
        otlp_endpoint: where traces and metrics go, for example "http://127.0.0.1:4317"; empty: nowhere.
        otlp_headers: metadata of every export, for example "authorization=Bearer ...", separated by commas.
        trace_sample_ratio: fraction of the traces that begin here to record; who began a trace decides.

    """

    model_config = SettingsConfigDict(env_prefix="MESSPLUS_", extra="ignore", frozen=True)

    zoo_file: Path = Path("zoo.yaml")
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", pattern=r"^(redis|rediss|unix)://")
    instance_id: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    drain_seconds: float = Field(default=10.0, ge=0, le=3600)
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    otlp_endpoint: str = Field(default="", pattern=r"^(https?://.+)?$")
    otlp_headers: str = Field(default="", pattern=r"^([^=,\s]+=[^,]+(,|$))*$", repr=False)
    trace_sample_ratio: float = Field(default=1.0, ge=0, le=1)


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def read_settings(kind: type[SettingsT]) -> SettingsT:
    """Reads a service's settings from the environment.

    Raises:
        ConfigError: with every wrong variable, its value and what is allowed.

    """
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        raise ConfigError(
            [
                ConfigProblem(
                    "environment",
                    f"{prefix}{'.'.join(map(str, e['loc']))}".upper(),
                    "(missing)" if e["type"] == "missing" else repr(e["input"]),
                    e["msg"],
                )
                for e in error.errors()
            ]
        ) from None
