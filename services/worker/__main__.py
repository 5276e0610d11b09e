"""`python -m services.worker`: one worker process."""

from services.common.server import run_service
from services.common.settings import read_settings
from services.worker.server import serve
from services.worker.settings import WorkerProcessSettings


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    run_service("worker", lambda: read_settings(WorkerProcessSettings), serve)


if __name__ == "__main__":
    main()
