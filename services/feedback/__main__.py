"""Runs the feedback service: `python -m services.feedback`."""

from services.common.server import run_service
from services.feedback.server import serve
from services.feedback.settings import read

if __name__ == "__main__":
    run_service("feedback", read, serve)
