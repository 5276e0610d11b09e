"""`make compose-e2e`: docker-compose.yml for real. Starts it, uses it, kills parts of it, checks the rest.

Needs a container daemon, the base images and the packages of the locks; takes some minutes. Models are copied
from $MESSPLUS_MODEL_CACHE, by default the cache of `messplus models pull`. What it starts, it removes.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.compose.stack import TOP, Stack, missing_parts
from tests.compose.story import Story

CACHE = Path(os.environ.get("MESSPLUS_MODEL_CACHE", "~/.cache/messplus/models")).expanduser()


def tell(text: str) -> None:
    """Shows a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(story: Story) -> None:
    """Every step in its order, with what it saw and how long it took."""
    steps = (story.images, story.first_start, story.health, story.use, story.check_trace, story.kill_learner)
    steps += (story.kill_router, story.crash_redis, story.proxy, story.check_log, story.check_state)
    steps += (story.check_metrics, story.reload, story.stop, story.second_start, story.wrong_values)
    for step in steps:
        began = time.monotonic()
        tell(f"{step.__name__:13} {step()}  [{time.monotonic() - began:.0f} s]")


def main() -> int:
    """Runs the story; the exit status is 0 if every step held."""
    if reason := missing_parts():
        tell(f"compose-e2e cannot run: {reason}")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        zoo_file = Path(shutil.copy(TOP / "deploy/zoo/cpu.yaml", folder))
        Path(folder).chmod(0o755)  # the containers' user reads it
        values = {"MESSPLUS_MODEL_CACHE": str(CACHE), "MESSPLUS_ZOO_FOLDER": folder}
        stack = Stack("messplus-e2e", Path(folder), values)
        stack.down("-v")
        story = Story(stack, zoo_file)
        try:
            run(story)
        except BaseException:
            tell(stack.compose("logs", "--no-color", "--tail", "40", check=False).stdout)
            raise
        finally:
            story.log.close()
            stack.down("-v")
    tell("compose-e2e: all of it held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
