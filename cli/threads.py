"""How many threads linear algebra takes."""

import os


def one_thread_for_scipy() -> None:
    """Keeps scipy's BLAS to one thread; must come before scipy is first imported.

    Fits solve thousands of systems of a dozen unknowns. Threads that wait for such work spin, which on a busy
    machine of two cores made a fit ten times slower.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
