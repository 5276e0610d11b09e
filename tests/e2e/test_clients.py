"""Clients that know only the .proto files: Node, and whatever uses server reflection."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from messplus.energy.v1 import energy_service_pb2
from messplus.feedback.v1 import feedback_service_pb2
from messplus.router.v1 import router_service_pb2
from messplus.worker.v1 import worker_service_pb2
from messplus_client import AsyncClient, Client, RequestFailed

from services.core.events import Label
from tests.e2e.local_system import ECHO, LocalSystem, running, wait_for, zoo_data

NODE, RUBY = Path(__file__).parent / "node", Path(__file__).parent / "ruby/client.rb"
HAS_RUBY = (
    all(shutil.which(tool) for tool in ("ruby", "protoc", "grpc_ruby_plugin"))
    and subprocess.run(["ruby", "-e", "require 'grpc'"], capture_output=True).returncode == 0
)
SERVICES = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (router_service_pb2, "RouterService"),
        (worker_service_pb2, "WorkerService"),
        (feedback_service_pb2, "FeedbackService"),
        (energy_service_pb2, "EnergyService"),
    )
]
METHODS = [(service, method) for service in SERVICES for method in service.methods]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSystem]:
    with running(tmp_path_factory.mktemp("clients"), zoo_data([ECHO], {"name": "messplus-2025"})) as local:
        yield local


def address_of(system: LocalSystem, service: str) -> str:
    return {
        "RouterService": system.zoo.router_addresses[0],
        "WorkerService": system.zoo.workers[0].address,
        "FeedbackService": system.zoo.feedback_address,
        "EnergyService": system.zoo.energy.address,
    }[service]


@pytest.mark.skipif(not shutil.which("npm"), reason="needs Node.js with npm")
def test_a_node_program_streams_an_answer_and_sends_feedback(system: LocalSystem, tmp_path: Path) -> None:
    folder = tmp_path / "tests/e2e/node"
    shutil.copytree(NODE, folder, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "protos").symlink_to(Path("protos").resolve())
    subprocess.run(["npm", "ci", "--silent"], cwd=folder, check=True, timeout=120)
    addresses = [address_of(system, "RouterService"), address_of(system, "FeedbackService")]
    run = subprocess.run(
        ["node", "client.mjs", *addresses, "Say the word lighthouse"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    reply = json.loads(run.stdout)
    assert "lighthouse" in reply["text"]
    assert reply["finished"]["finish_reason"] == "FINISH_REASON_STOP"
    request_id = reply["decision"]["request_id"]
    wait_for(lambda: [e for e in system.events() if isinstance(e, Label)], 5, "the label in the log")
    labels = [(e.request_id, e.satisfaction, e.source) for e in system.events() if isinstance(e, Label)]
    assert labels == [(request_id, 1.0, "client")]


def addresses(system: LocalSystem) -> tuple[str, str]:
    return address_of(system, "RouterService"), address_of(system, "FeedbackService")


def test_the_python_client_asks_streams_decides_and_judges(system: LocalSystem) -> None:
    with Client(*addresses(system)) as client:
        answer = client.ask("one two three", max_tokens=16)
        assert (answer.text, answer.finish_reason, answer.model_id) == ("one two three", "stop", "echo")
        assert answer.energy_joules is not None
        assert answer.energy_quality in ("estimated", "modelled")
        assert client.judge(answer, satisfied=False).satisfaction == 0.0
        stream = client.stream([{"role": "user", "content": "four five"}])
        assert "".join(stream) == stream.answer.text == "four five"
        decision = client.decide("six seven", max_tokens=8)
        assert client.judge(decision, satisfaction=0.25).satisfaction == 0.25
        judged = {answer.request_id: 0.0, decision.request_id: 0.25}

    def labels() -> dict[str, float]:
        return {e.request_id: e.satisfaction for e in system.events() if isinstance(e, Label)}

    wait_for(lambda: judged.items() <= labels().items(), 5, "both verdicts in the log")


async def test_the_asyncio_client_does_the_same(system: LocalSystem) -> None:
    async with AsyncClient(*addresses(system)) as client:
        answers = await asyncio.gather(*(client.ask(f"word {number}") for number in range(5)))
        assert [answer.text for answer in answers] == [f"word {number}" for number in range(5)]
        stream = client.stream("one two three")
        assert [text async for text in stream]
        assert (await client.judge(stream.answer, satisfied=True)).satisfaction == 1.0
        assert (await client.decide("x")).model_id == "echo"


async def test_a_clients_error_names_fields_and_says_when_to_come_back(system: LocalSystem) -> None:
    router, feedback = addresses(system)
    with Client(router, feedback) as client:
        with pytest.raises(RequestFailed, match=r"INVALID_ARGUMENT.*sampling\.max_tokens") as failure:
            client.ask("x", max_tokens=0)
        assert failure.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "sampling.max_tokens" in failure.value.violations
        with pytest.raises(ValueError, match="give either satisfied"):
            client.judge(client.decide("x"))
    async with AsyncClient(router) as lonely:
        with pytest.raises(RequestFailed) as failure:
            await lonely.ask("x", sla_class="unheard-of")
        assert "routing.sla_class" in failure.value.violations
        with pytest.raises(ValueError, match="no feedback address"):
            await lonely.judge(await lonely.decide("x"), satisfied=True)


@pytest.mark.skipif(not HAS_RUBY, reason="needs Ruby with gRPC (Debian: ruby-grpc, protobuf-compiler-grpc)")
def test_a_ruby_program_streams_an_answer_and_sends_feedback(system: LocalSystem, tmp_path: Path) -> None:
    plugin = shutil.which("grpc_ruby_plugin")
    protos = [str(path.relative_to("protos")) for path in Path("protos/messplus").rglob("*.proto")]
    generate = ["protoc", "-I", "protos", f"--plugin=protoc-gen-grpc={plugin}", f"--ruby_out={tmp_path}"]
    subprocess.run([*generate, f"--grpc_out={tmp_path}", *protos], check=True, timeout=60)
    client = [
        "ruby",
        "-I",
        str(tmp_path),
        str(RUBY),
        *addresses(system),
        "Say the word harbour",
    ]
    run = subprocess.run(client, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    reply = json.loads(run.stdout)
    assert "harbour" in reply["text"]
    assert reply["satisfaction"] == 1.0


def status_of_empty_call(call: Any, client_streaming: bool, server_streaming: bool) -> grpc.StatusCode:
    try:
        reply = call(iter([b""]) if client_streaming else b"", timeout=5)
        if server_streaming:
            next(reply)
            reply.cancel()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize(("service", "method"), METHODS, ids=[method.full_name for _, method in METHODS])
def test_every_rpc_of_the_contract_is_implemented(system: LocalSystem, service: Any, method: Any) -> None:
    with grpc.insecure_channel(address_of(system, service.name)) as channel:
        shapes = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
        }
        shape = shapes[method.client_streaming, method.server_streaming]
        call = shape(f"/{service.full_name}/{method.name}")
        status = status_of_empty_call(call, method.client_streaming, method.server_streaming)
    assert status in {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
    }


@pytest.mark.parametrize("service", SERVICES, ids=[service.name for service in SERVICES])
def test_reflection_gives_the_contract_itself(system: LocalSystem, service: Any) -> None:
    with grpc.insecure_channel(address_of(system, service.name)) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        question = reflection_pb2.ServerReflectionRequest(file_containing_symbol=service.full_name)
        answer = next(iter(stub.ServerReflectionInfo(iter([question]), timeout=5)))
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    assert service.name in {s.name for file in files for s in file.service}
