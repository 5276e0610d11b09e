"""Free ports: different, free now, and none that an outgoing connection may be given."""

import socket
from pathlib import Path

import pytest

from cli.local.ports import LISTENING_PORTS, free_ports

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_ports_differ_and_can_be_listened_on() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_taken_port_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("cli.local.ports.LISTENING_PORTS", range(port, port + 1))
        with pytest.raises(OSError, match="no 1 free ports"):
            free_ports(1)


@pytest.mark.skipif(not EPHEMERAL.exists(), reason="not Linux: the range of outgoing ports is not in /proc")
def test_outgoing_connections_are_given_other_ports() -> None:
    lowest = int(EPHEMERAL.read_text().split()[0])
    assert LISTENING_PORTS.stop <= lowest
