"""Where the `messplus` command begins: Ctrl-C is one line also while its modules are still being read."""

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
        say_interrupted()
        sys.exit(EXIT_INTERRUPTED)


def say_interrupted() -> None:
    """Says on standard error that Ctrl-C ended the command before its end."""
    sys.stderr.write("messplus: interrupted before the end\n")
