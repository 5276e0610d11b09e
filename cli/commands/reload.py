"""`messplus reload`: a running system takes over what its zoo file says now."""

import os
import signal
import time

from cli.console import command_console
from cli.failure import CommandError, RefusedError
from cli.local.data_directory import DataDirectory, ReloadRecord
from cli.options import DataDirOption, ZooOption, chosen_zoo, data_root

_POLL_SECONDS = 0.05


def reload(zoo: ZooOption = None, data_dir: DataDirOption = None) -> None:
    """Make a running `messplus up` read its zoo file again: models and SLA classes come, change and go.

    Returns once the changed zoo serves. A file that is wrong, or that asks for what takes a restart,
    changes nothing and is answered with every problem.

    Examples:

      messplus reload

      messplus reload --zoo my-zoo.yaml
    """
    zoo_file, settings = chosen_zoo(zoo)
    data = DataDirectory(data_root(data_dir, settings).expanduser().absolute())
    process_id = data.owner()
    before = None if process_id is None else data.read_reload()
    if process_id is None or before is None:
        raise CommandError(
            f"no system runs on {data.root}: start it with `messplus up`, or name its --data-dir"
        )
    if before.zoo_file != str(zoo_file):
        raise CommandError(
            f"the system on {data.root} runs {before.zoo_file}, not {zoo_file}: name that file"
        )
    os.kill(process_id, signal.SIGHUP)
    after = _awaited(data, before.number)
    if after.problems:
        raise RefusedError(after.problems)
    command_console().print(f"The changed zoo serves: {', '.join(settings.model_ids)}", highlight=False)


def _awaited(data: DataDirectory, number: int) -> ReloadRecord:
    """The record after this one. Raises CommandError where the system ends before."""
    while (record := data.read_reload()) is None or record.number <= number:
        if data.owner() is None:
            raise CommandError(f"the system on {data.root} has ended; its logs: {data.root / 'logs'}")
        time.sleep(_POLL_SECONDS)
    return record
