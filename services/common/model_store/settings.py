"""Where the store keeps its files, read from the environment (`MESSPLUS_*`)."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ModelStoreSettings(BaseSettings):
    """Settings of the model store.

    Attributes:
        cache: folder of the weights.
        hub_url: the hub, or a mirror of it.
        seed: another store's folder to copy from before anything is downloaded.

    """

    model_config = SettingsConfigDict(env_prefix="MESSPLUS_", extra="ignore", frozen=True)

    cache: Path = Path("~/.cache/messplus/models")
    seed: Path | None = None
    hub_url: str = Field(default="https://huggingface.co", pattern=r"^https?://.+")
