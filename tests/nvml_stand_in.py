"""Builds the stand-in for NVIDIA's library, and sets what it plays."""

import ctypes
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
LIBRARY = "libnvidia-ml.so.1"
COMPILER = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
NO_COMPILER = "needs a C compiler (cc, gcc or clang) to build the stand-in for libnvidia-ml.so.1"


def build(folder: Path, *defines: str) -> Path:
    """Compiles the library into `folder`; its soname is the real one's."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / LIBRARY
    options = ["-shared", "-fPIC", "-Wall", "-Werror", f"-Wl,-soname,{LIBRARY}", *defines]
    subprocess.run([str(COMPILER), *options, "-o", str(library), str(SOURCE)], check=True)
    return library


class StandIn:
    """The library in this process; pynvml, which asks for its soname, gets the one that is loaded."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        self._library.play_energy_calls.restype = ctypes.c_longlong

    def begin(self, gpus: int = 1) -> None:
        """Forgets what was played."""
        self._library.play_anew(ctypes.c_longlong(gpus))

    def play(self, index: int = 0, **values: int) -> None:
        """Sets what a GPU answers."""
        for key, value in values.items():
            assert self._library.play(index, key.encode(), ctypes.c_longlong(value)), key

    @property
    def energy_calls(self) -> int:
        """How often a counter was read."""
        return int(self._library.play_energy_calls())
