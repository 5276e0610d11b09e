"""Options that several commands share, and what they choose."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from cli.settings import read_cli_settings
from services.common.zoo import Zoo
from services.common.zoo_file import load_zoo

ZooOption = Annotated[
    Path | None,
    typer.Option(
        "--zoo", help="Zoo file. Default: $MESSPLUS_ZOO_FILE, else the embedded zoo.", metavar="FILE"
    ),
]
RequestIdArgument = Annotated[
    str, typer.Argument(help="The request_id of the reply's decision.", metavar="REQUEST_ID")
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Learned state and logs. Default: $MESSPLUS_DATA/<zoo>, else ~/.local/share/messplus/<zoo>.",
        metavar="DIR",
    ),
]


def chosen_zoo(option: Path | None) -> tuple[Path, Zoo]:
    """The zoo file to use, absolute, and what it says. Raises ConfigError for a wrong file or policy."""
    path = option or read_cli_settings().zoo_file or embedded_zoo_file()
    path = path.expanduser().absolute()
    return path, load_zoo(path)


def embedded_zoo_file() -> Path:
    """The zoo that comes with this package."""
    return Path(str(resources.files("cli").joinpath("default_zoo.yaml")))


def data_root(option: Path | None, zoo: Zoo) -> Path:
    """The data directory to use."""
    return option or read_cli_settings().data / zoo.name
