"""The data directory: one system at a time, kept or forgotten, and clear refusals."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.local.data_directory import opened
from cli.main import app
from services.core.errors import ConfigError


def test_a_second_system_is_refused_by_name(tmp_path: Path) -> None:
    with (
        opened(tmp_path / "data", fresh=False),
        pytest.raises(ConfigError, match="in use by another messplus"),
        opened(tmp_path / "data", fresh=False),
    ):
        pass
    with opened(tmp_path / "data", fresh=False):
        pass


@pytest.mark.parametrize("fresh", [True, False])
def test_fresh_forgets_what_was_learned(tmp_path: Path, fresh: bool) -> None:
    with opened(tmp_path, fresh=False) as data:
        (data.store / "appendonly.aof").write_text("learned")
    with opened(tmp_path, fresh=fresh) as data:
        assert (data.store / "appendonly.aof").exists() is not fresh


def test_nothing_but_state_and_logs_is_left(tmp_path: Path) -> None:
    with opened(tmp_path, fresh=False) as data:
        data.write_processes({"router": 1})
        data.socket.touch()
    assert {path.name for path in tmp_path.iterdir()} == {"valkey", "logs", "lock"}


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bytes long"), opened(tmp_path / ("x" * 120), fresh=False):
        pass


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"), opened(tmp_path / "file" / "data", fresh=False):
        pass


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    with opened(tmp_path, fresh=False) as data:
        data.log_file("router").write_bytes(b"x" * ((16 << 20) + 1))
        assert not data.log_file("router").exists()
        assert data.log_file("router").with_suffix(".log.1").exists()


def test_in_a_file_no_system_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["reload", "--data-dir", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert "no system runs on" in result.stderr
