"""Runs the router: `python -m services.router`."""

from services.common.server import run_service
from services.common.settings import read_settings
from services.router.server import serve
from services.router.settings import RouterSettings

if __name__ == "__main__":
    run_service("router", lambda: read_settings(RouterSettings), serve)
