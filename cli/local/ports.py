"""Whether every address of a local system can be had, before anything is started."""

import errno
import random
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress

from services.core.errors import ConfigError, ConfigProblem

MAX_PORT = 65535
LISTENING_PORTS = range(20_000, 32_768)
"""Below the ports that Linux and macOS give to outgoing connections, which so never take one of these."""


def check_addresses(addresses: Mapping[str, str]) -> None:
    """Tries every address, given by service name.

    Raises:
        ConfigError: with one problem per address that is taken or not of this machine.

    """
    problems = [problem for name, address in addresses.items() if (problem := _problem(name, address))]
    if problems:
        raise ConfigError(problems)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port"."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def router_addresses(configured: Sequence[str], count: int, taken: Iterable[str]) -> tuple[str, ...]:
    """The first `count` (>= 1) router addresses; those beyond the configured ones take the next ports."""
    addresses, used = list(configured[:count]), {*configured, *taken}
    host, port = split_address(configured[-1])
    while len(addresses) < count and port < MAX_PORT:
        port += 1
        candidate = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if candidate not in used:
            addresses.append(candidate)
    return tuple(addresses)


def free_addresses(count: int) -> list[str]:
    """Loopback addresses that nobody uses now, each with a port of its own."""
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now, chosen at random so that two callers hardly meet.

    Raises:
        OSError: of `LISTENING_PORTS` fewer than `count` are free.

    """
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(LISTENING_PORTS, len(LISTENING_PORTS)):
            if len(found) == count:
                return found
            with suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
    raise OSError(errno.EADDRINUSE, f"no {count} free ports in {LISTENING_PORTS}")


def _problem(name: str, address: str) -> ConfigProblem | None:
    host, port = split_address(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        return ConfigProblem("network", f"address of {name}", address, _remedy(error, port))
    return None


def _remedy(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken: stop the process that has it, or change the address in the zoo file"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges: choose one above 1023 in the zoo file"
    return "is not an address of this machine: `messplus up` runs everything here"
