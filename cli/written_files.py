"""Files that a command writes: checked before its work, not after, and written whole or not at all."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from cli.failure import config_error


def check_written_files(command: str, files: Mapping[str, Path | None], sources: Sequence[Path]) -> None:
    """Raises ConfigError where a file, by its option, cannot be written or would overwrite what is needed.

    `sources` are what the command reads: files, or folders of files.
    """
    taken: dict[Path, str] = {}
    for option, path in files.items():
        if path is None:
            continue
        place = path.resolve()
        if place in taken:
            raise config_error(command, option, path, f"another file than {taken[place]} is needed")
        taken[place] = option
        if why := _why_not(place, sources):
            raise config_error(command, option, path, why)


def write_asked(
    json_file: Path | None,
    content: Callable[[], Any],
    report: Path | None,
    write_report: Callable[[Path], None],
) -> None:
    """Writes the JSON values of `content`, and the report, where they were asked for.

    Before anything is printed: an output that nobody reads to its end must cost no file.
    """
    if json_file:
        write_whole(json_file, json.dumps(content(), indent=2, allow_nan=False) + "\n")
    if report:
        write_report(report)


def say_written(console: Console, json_file: Path | None, report: Path | None) -> None:
    """Says where the files are, those that were asked for."""
    if json_file:
        say(console, f"All numbers: {json_file.absolute()}")
    if report:
        say(console, f"Figures and tables: {report.absolute()}")


def write_whole(path: Path, text: str) -> None:
    """Writes a file, or leaves what was there: nobody finds half of one. Raises OSError naming the file."""
    place = path.resolve()
    # A device or a pipe takes what comes; it cannot be replaced.
    draft = place if _is_special(place) else place.with_name(f".{place.name}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        if draft != place:
            draft.replace(place)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if draft != place:
            draft.unlink(missing_ok=True)


def say(console: Console, text: str) -> None:
    """Prints a line as it is: a path must not be broken or coloured."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _why_not(place: Path, sources: Sequence[Path]) -> str | None:
    if any(_holds(source, place) for source in sources):
        return "would be written into what the command reads: choose another file"
    if place.is_dir():
        return "is a folder: name a file"
    if not place.parent.is_dir():
        return "its folder does not exist: create it or choose another one"
    needed = [place] if _is_special(place) else [place.parent, *([place] if place.exists() else [])]
    if not all(os.access(one, os.W_OK) for one in needed):
        return "no permission to write: choose another file"
    return None


def _is_special(place: Path) -> bool:
    return place.exists() and not place.is_file()


def _holds(source: Path, place: Path) -> bool:
    return source.resolve() in (place, place.parent if source.is_dir() else place)
