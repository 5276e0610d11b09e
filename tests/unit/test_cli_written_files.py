"""Files that commands write: whole, or not at all."""

from pathlib import Path

import pytest

from cli.written_files import check_written_files, write_whole


def test_a_file_is_written_anew_and_nothing_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    for text in ("old and long\n", "new\n"):
        write_whole(out, text)
        assert out.read_text() == text
    assert list(tmp_path.iterdir()) == [out]


def test_a_write_that_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    out.write_text("old\n")
    with pytest.raises(UnicodeEncodeError):
        write_whole(out, "new \udcff")
    assert out.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [out]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    link.symlink_to(target)
    write_whole(link, "new\n")
    assert link.is_symlink()
    assert target.read_text() == "new\n"


def test_a_full_disk_names_the_file_and_a_device_stays(tmp_path: Path) -> None:
    full = Path("/dev/full")
    check_written_files("replay", {"--json": full}, [])
    with pytest.raises(OSError, match="No space left on device") as failed:
        write_whole(full, "text")
    assert failed.value.filename == "/dev/full"
    assert full.is_char_device()
