"""The model that a measurement starts a worker for, by name."""

from cli.failure import config_error
from services.common.model_store import catalogue
from services.common.zoo import ModelSettings, Zoo


def started_model(name: str, zoo: Zoo, command: str) -> ModelSettings:
    """The zoo's model of that id, else the catalogue's. Raises ConfigError where neither has it."""
    if name in zoo.model_ids:
        return zoo.model(name)
    known = catalogue()
    if name in known:
        return ModelSettings(id=name, source=name)
    allowed = f"a model of the zoo ({', '.join(zoo.model_ids)}) or of the catalogue ({', '.join(known)})"
    raise config_error(command, "--model", name, allowed)
