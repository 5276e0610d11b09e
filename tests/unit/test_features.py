import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import services.core
from planner import feature_basis
from services.core.features import FeatureMap, text_features

BASIS = Path(services.core.__file__).parent / "data" / "feature_basis.npz"
NAMES = (
    *("characters", "words", "tokens", "digits", "newlines"),
    *("symbols", "non_ascii", "newline_count", "code", "options"),
)


def named(text, tokens=10):
    return dict(zip(NAMES, text_features(text, tokens), strict=True))


@given(st.text(max_size=300), st.integers(0, 10**9))
def test_any_text_gives_ten_numbers_within_the_clip(text, tokens):
    features = text_features(text, tokens)
    assert features.shape == (10,)
    assert (np.abs(features) <= 3.0).all()


def test_lengths_and_shares_by_hand():
    # 20 characters, 4 words, 5 digits, 1 newline, 2 symbols, 1 character outside ASCII.
    text = "ab 12345 x+y=\u00e9 \n abc"
    features = named(text, tokens=7)
    assert len(text) == 20
    assert features["characters"] == pytest.approx((np.log(21) - 5.5) / 1.2)
    assert features["words"] == pytest.approx((np.log(5) - 4.0) / 1.2)
    assert features["tokens"] == pytest.approx((np.log(8) - 4.3) / 1.2)
    assert features["digits"] == 3.0  # (.25 - .05) / .06 is clipped
    assert features["newlines"] == pytest.approx((1 / 20 - 0.02) / 0.02)
    assert features["symbols"] == pytest.approx((2 / 20 - 0.08) / 0.05)
    assert features["non_ascii"] == pytest.approx((1 / 20 - 0.01) / 0.03)
    assert features["newline_count"] == pytest.approx((1 - 5) / 6)


@pytest.mark.parametrize(
    ("text", "code", "options"),
    [
        ("What is the capital of France?", 0, 0),
        ("def f(x):\n    return x", 1, 0),
        ("What does print(2) show?", 1, 0),
        ("Pick one.\nA) red\nB) blue", 0, 1),
        ("Pick: (A) red (B) blue", 0, 1),
        ("A. red B. blue", 0, 1),
        ("Vitamin A. is good.", 0, 0),
    ],
)
def test_code_and_options_are_seen(text, code, options):
    features = named(text)
    assert (features["code"], features["options"]) == (code, options)


def test_a_hostile_prompt_takes_linear_time():
    # Quadratic search would need some 10^11 steps here, and the test would never end.
    assert named("A. " * 300_000)["options"] == 0


def basis(mean=0.0, scale=2.0):
    return {
        "mean": np.full(256, mean),
        "components": np.eye(16, 256),
        "scale": np.full(16, scale),
    }


def test_the_map_whitens_clips_and_appends():
    embedding = np.arange(256.0)
    features = FeatureMap.from_arrays(basis(mean=1.0)).features(embedding, np.full(10, 0.25))
    assert features[:8].tolist() == [1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert features[8:17].tolist() == [3.0] * 9
    assert features[17:].tolist() == [0.25] * 10


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mean": np.zeros(3)}, "mean has shape"),
        ({"components": np.eye(16)}, "components has shape"),
        ({"scale": np.zeros(16)}, "scale must be above 0"),
        ({"scale": np.full(16, np.nan)}, "scale is not finite"),
    ],
)
def test_a_bad_basis_is_refused(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        FeatureMap.from_arrays(basis() | change)


def test_an_incomplete_basis_is_refused():
    with pytest.raises(ValueError, match="lacks mean, scale"):
        FeatureMap.from_arrays({"components": np.eye(16, 256)})


def test_the_shipped_basis_whitens_prompts():
    pytest.importorskip("wordllama")
    from cli.demo.prompts import generate_prompts

    with np.load(BASIS, allow_pickle=False) as arrays:
        feature_map = FeatureMap.from_arrays(dict(arrays))
    assert BASIS.stat().st_size < 40_000
    embeddings = feature_basis.embed([prompt.text for prompt in generate_prompts(200, seed=3)])
    features = np.array([feature_map.features(e, np.zeros(10))[1:17] for e in embeddings])
    assert np.isfinite(features).all()
    assert 0.2 < np.std(features, axis=0).mean() < 2.0


def test_a_basis_is_fitted_from_prompts_in_files(tmp_path, capsys):
    pytest.importorskip("wordllama")
    lines, texts = tmp_path / "a.jsonl", tmp_path / "b.txt"
    lines.write_text("\n".join(json.dumps({"prompt": f"How many are {i} and {i * i}?"}) for i in range(30)))
    texts.write_text("What is red?\nWhat is red?\nWho wrote it?\n")
    out = tmp_path / "basis.npz"
    feature_basis.main(["--prompts", str(lines), str(texts), "--out", str(out)])
    assert "32 prompts" in capsys.readouterr().out
    with np.load(out, allow_pickle=False) as arrays:
        FeatureMap.from_arrays(dict(arrays))
        gram = arrays["components"] @ arrays["components"].T
    assert gram == pytest.approx(np.eye(16), abs=1e-5)


def test_too_few_prompts_are_refused(tmp_path, capsys):
    few = tmp_path / "few.txt"
    few.write_text("one\ntwo\n")
    with pytest.raises(SystemExit):
        feature_basis.main(["--prompts", str(few), "--out", str(tmp_path / "out.npz")])
    assert "2 different prompts, at least 17" in capsys.readouterr().err


def test_unknown_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.parquet, \.jsonl or \.txt"):
        feature_basis.read_prompts(tmp_path / "prompts.csv")
