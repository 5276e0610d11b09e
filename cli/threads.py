"""How many threads linear algebra takes."""

import os

_VARIABLE = "OPENBLAS_NUM_THREADS"
_stated = _VARIABLE in os.environ


def one_thread_for_blas() -> None:
    """Keeps BLAS to one thread, unless the user says otherwise; must come before numpy is first imported.

    What is solved here is small and there is much of it. Threads that wait for such work spin: they take four
    times the processor time of learning with ten models, and made a fit on a busy machine ten times slower.
    """
    os.environ.setdefault(_VARIABLE, "1")


def set_for_this_process() -> frozenset[str]:
    """Variables that are not the user's: an engine's linear algebra is large, and is no concern of ours."""
    return frozenset() if _stated else frozenset({_VARIABLE})
