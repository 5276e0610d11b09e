"""Linear algebra of the learner and the command line has one thread; engines keep theirs."""

import os
import subprocess
import sys

import pytest

VARIABLE = "OPENBLAS_NUM_THREADS"
MULTIPLY = "import numpy, os; a = numpy.ones((700, 700)); a @ a; print(len(os.listdir('/proc/self/task')))"
SET = {"learner": "import services.feedback", "command": "from cli.threads import *; one_thread_for_blas()"}


def output(code: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
@pytest.mark.parametrize("who", SET)
def test_products_of_matrices_start_no_thread(who: str) -> None:
    assert output(f"{SET[who]}\n{MULTIPLY}") == "1"


@pytest.mark.parametrize("who", SET)
def test_what_the_user_says_goes_first(who: str) -> None:
    assert output(f"{SET[who]}\nimport os; print(os.environ['{VARIABLE}'])", **{VARIABLE: "7"}) == "7"


@pytest.mark.parametrize(("stated", "inherited"), [({}, "None"), ({VARIABLE: "7"}, "7")])
def test_children_of_the_command_get_what_the_user_said_alone(stated: dict[str, str], inherited: str) -> None:
    code = f"{SET['command']}\nfrom cli.settings import *; print(inherited_environment().get('{VARIABLE}'))"
    assert output(code, **stated) == inherited
