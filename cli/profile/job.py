"""What `messplus profile` does once its options are checked."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from cli.failure import config_error
from cli.profile.report import write_report
from cli.profile.tables import ERROR_HEADINGS, HEADINGS, error_rows, profile_rows, request_title
from cli.tables import texts_table
from cli.written_files import say, say_written, write_asked, write_whole
from planner.csv_table import Bound, read_csv_table
from planner.runtime.fitting import fit_profile, read_measurements
from planner.runtime.helm import profiles_text, read_profiles
from planner.runtime.profile import Profile
from planner.runtime.study import Study


def load_profiles(paths: Sequence[Path], models: Sequence[str], *, denoised: bool) -> list[Profile]:
    """Profiles of all files, or of the chosen models. Raises ConfigError."""
    found: dict[str, Profile] = {}
    for path in paths:
        for name, profile in _read(path, denoised).items():
            if name in found:
                raise config_error(
                    "profile", "--from", path, f"{name} is in another file as well: rename one"
                )
            found[name] = profile
    for model in models:
        if model not in found:
            raise config_error("profile", "--model", model, f"allowed: {', '.join(found)}")
    return [profile for name, profile in found.items() if not models or name in models]


def _read(path: Path, denoised: bool) -> Mapping[str, Profile]:
    if path.suffix == ".json":
        return read_profiles(path)
    if path.suffix == ".csv":
        measured = read_measurements(path)
        return {n: fit_profile(n, rows, str(path), denoised=denoised) for n, rows in measured.items()}
    raise config_error("profile", "--from", path, ".json (a profile) or .csv (timed requests)")


def load_accuracy(path: Path) -> dict[str, float]:
    """Accuracy by model from a CSV file with model and accuracy, each in [0, 1]. Raises ConfigError."""
    table = read_csv_table(path, ("model", "accuracy"))
    values = table.numbers({"accuracy": Bound.NOT_NEGATIVE})["accuracy"]
    if values.max() > 1.0:
        raise config_error(str(path), "accuracy", values.max(), "shares from 0 to 1, no percentages")
    return dict(zip(table.columns["model"], map(float, values), strict=True))


def of_profiles(
    accuracy: Mapping[str, float], profiles: Sequence[Profile], path: Path, console: Console
) -> dict[str, float]:
    """The accuracies of these profiles; says which others `path` has. Raises ConfigError for none of them."""
    names = [profile.name for profile in profiles]
    found = {name: accuracy[name] for name in names if name in accuracy}
    if not found:
        raise config_error(str(path), "model", ", ".join(accuracy), f"profiles here: {', '.join(names)}")
    if others := [name for name in accuracy if name not in found]:
        say(console, f"{path} also has the accuracy of {', '.join(others)}, which no profile here has.")
    return found


def show(study: Study, json_file: Path | None, report: Path | None, console: Console) -> None:
    """Prints the tables and writes the files that were asked for."""
    if json_file:
        profiles = {profile.name: profile for profile in study.profiles}
        write_whole(json_file, profiles_text(profiles))
    write_asked(None, dict, report, lambda path: write_report(path, study))
    console.print(texts_table(request_title(study), HEADINGS, profile_rows(study)))
    console.print(texts_table("Prompt lengths left out", ERROR_HEADINGS, error_rows(study)))
    if json_file:
        say(console, f"Profiles: {json_file.absolute()}")
    say_written(console, None, report)
