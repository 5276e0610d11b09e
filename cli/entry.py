"""Where the `messplus` command begins: Ctrl-C ends it quietly also while its modules are still being read."""

import sys

from cli.threads import one_thread_for_blas

EXIT_INTERRUPTED = 130


def main() -> None:
    """Runs the command line."""
    one_thread_for_blas()
    try:
        from cli.main import app

        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
