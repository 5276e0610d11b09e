"""Runs the energy service: `python -m services.energy`."""

from services.common.server import run_service
from services.common.settings import read_settings
from services.energy.server import serve
from services.energy.settings import EnergyServiceSettings

if __name__ == "__main__":
    run_service("energy", lambda: read_settings(EnergyServiceSettings), serve)
