"""The embedded catalogue, and from a zoo file's `source` to what the store can fetch."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from services.common.zoo import ModelSettings, ModelSource
from services.core.errors import ConfigError, ConfigProblem


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that the store can have: its name for people, and where its weights are."""

    name: str
    source: ModelSource

    @property
    def file_name(self) -> str:
        """Name of the weights file, for people."""
        if self.source.file_name:
            return self.source.file_name
        return self.source.path.name if self.source.path else f"{self.name}.gguf"


def catalogue() -> Mapping[str, ModelSpec]:
    """The models that this project knows, by name."""
    text = resources.files(__package__).joinpath("catalogue.yaml").read_text(encoding="utf-8")
    entries = yaml.safe_load(text)
    return {name: ModelSpec(name, ModelSource.model_validate(entry)) for name, entry in entries.items()}


def resolve(model: ModelSettings) -> ModelSpec:
    """What to fetch for a model of a zoo file: a catalogue name, a path to a GGUF file, or a full source.

    Raises:
        ConfigError: when a plain string is neither a catalogue name nor a path to a `.gguf` file.

    """
    if isinstance(model.source, ModelSource):
        return ModelSpec(model.id, model.source)
    known = catalogue()
    if model.source in known:
        return ModelSpec(model.id, known[model.source].source)
    if model.source.endswith(".gguf"):
        return ModelSpec(model.id, ModelSource(path=Path(model.source)))
    allowed = f"must be one of {', '.join(known)}, or the path of a .gguf file"
    raise ConfigError([ConfigProblem(f"model {model.id}", "source", repr(model.source), allowed)])
