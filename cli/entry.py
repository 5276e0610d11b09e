"""Where the `messplus` command begins: Ctrl-C ends it quietly also while its modules are still being read."""

import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """Runs the command line."""
    try:
        from cli.main import app

        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
