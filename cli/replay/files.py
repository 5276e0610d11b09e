"""Files that a replay writes, checked before hours of runs, not after."""

import os
from collections.abc import Mapping
from pathlib import Path

from cli.failure import config_error


def check_written_files(files: Mapping[str, Path | None], source: Path | None) -> None:
    """Raises ConfigError where a file, by its option, cannot be written or would overwrite what is needed.

    `source` is what the replay reads: a file, or a folder of files.
    """
    taken: dict[Path, str] = {}
    for option, path in files.items():
        if path is None:
            continue
        place = path.resolve()
        if place in taken:
            raise config_error("replay", option, path, f"another file than {taken[place]} is needed")
        taken[place] = option
        if why := _why_not(place, source):
            raise config_error("replay", option, path, why)


def _why_not(place: Path, source: Path | None) -> str | None:
    if source is not None and source.resolve() in (place, place.parent if source.is_dir() else place):
        return "would be written into the recorded outcomes: choose another file"
    if place.is_dir():
        return "is a folder: name a file"
    if not place.parent.is_dir():
        return "its folder does not exist: create it or choose another one"
    if not os.access(place if place.exists() else place.parent, os.W_OK):
        return "no permission to write: choose another file"
    return None
