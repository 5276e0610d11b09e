"""Engines in the zoo file: what each needs, and every wrong combination named with its key."""

import pytest

from services.common.zoo import Zoo
from services.common.zoo_file import parse_zoo
from services.core.errors import ConfigError, ConfigProblem

URLS = ["http://a:8000/v1", "https://b.example:8443/v1/"]


def zoo_of(model: dict[str, object], **worker: object) -> Zoo:
    return parse_zoo(
        {
            "name": "t",
            "models": [{"id": "m", **model}],
            "workers": [{"model": "m", "address": "127.0.0.1:6001", **worker}],
            "sla_classes": [{"name": "s", "min_satisfaction": 0.5}],
        },
        "zoo.yaml",
    )


def problems(model: dict[str, object], **worker: object) -> list[ConfigProblem]:
    with pytest.raises(ConfigError) as caught:
        zoo_of(model, **worker)
    return list(caught.value.problems)


def test_a_server_section_is_read_and_its_urls_lose_their_last_slash() -> None:
    zoo = zoo_of({"engine": "openai", "server": {"urls": URLS, "api_key_env": "KEY"}}, server_urls=URLS[1:])
    server = zoo.models[0].server
    assert server is not None
    assert server.urls == ("http://a:8000/v1", "https://b.example:8443/v1")
    assert zoo.workers[0].server_urls == server.urls[1:]


@pytest.mark.parametrize(
    ("model", "key", "allowed"),
    [
        ({"engine": "openai"}, "models[0].server", "needs a server section"),
        ({"engine": "tgi"}, "models[0].server", "needs a server section"),
        ({"engine": "echo", "server": {"urls": URLS}}, "models[0].server", "openai or tgi"),
        ({"engine": "openai", "server": {"urls": URLS}, "source": "x"}, "models[0].source", "leave it out"),
        ({"engine": "transformers"}, "models[0].source", "local directory"),
        ({"engine": "transformers", "source": {"path": "x"}}, "models[0].source", "repository id"),
        ({"engine": "openai", "server": {"urls": []}}, "models[0].server.urls", "at least 1"),
        ({"engine": "openai", "server": {"urls": ["ftp://a"]}}, "models[0].server.urls[0]", "http"),
        (
            {"engine": "openai", "server": {"urls": ["http://me:secret@a"]}},
            "models[0].server.urls[0]",
            "user",
        ),
        ({"engine": "openai", "server": {"urls": URLS[:1] * 2}}, "models[0].server.urls", "repeat"),
        (
            {"engine": "tgi", "server": {"urls": URLS, "api_key_env": "sk-0123"}},
            "models[0].server.api_key_env",
            "pattern",
        ),
        ({"engine": "tgi", "server": {"urls": URLS, "retries": 99}}, "models[0].server.retries", "10"),
    ],
)
def test_a_wrong_combination_is_named(model: dict[str, object], key: str, allowed: str) -> None:
    (problem,) = problems(model)
    assert problem.key == key
    assert allowed in problem.allowed


def test_everything_that_is_wrong_with_an_engine_is_said_at_once() -> None:
    found = problems({"engine": "openai", "source": "x"}, server_urls=["http://c:1/v1"])
    assert [p.key for p in found] == ["models[0].source", "models[0].server", "workers[0].server_urls[0]"]


def test_a_worker_only_uses_urls_of_its_model() -> None:
    (problem,) = problems({"engine": "tgi", "server": {"urls": URLS}}, server_urls=["http://c:1/v1"])
    assert "http://a:8000/v1" in problem.allowed
