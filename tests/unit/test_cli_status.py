"""The status tables say what a person looks for."""

from google.protobuf import duration_pb2
from messplus.energy.v1 import energy_service_pb2
from messplus.feedback.v1 import feedback_service_pb2
from messplus.router.v1 import router_service_pb2
from rich.console import Console

from cli.status.fetch import SystemStatus
from cli.status.tables import shares_text, status_view

SLA = router_service_pb2.GetSlaStatusResponse(
    classes=[
        router_service_pb2.SlaStatus(
            sla_class="standard",
            min_satisfaction=0.7,
            steps=10,
            labelled=8,
            mean_satisfaction=0.625,
            virtual_queue=1.25,
            model_shares={"small": 0.25, "large": 0.75},
            energy_joules=50.0,
            explorations=2,
            exploration_energy_joules=10.0,
        ),
        router_service_pb2.SlaStatus(sla_class="idle", min_satisfaction=0.5),
    ],
    snapshot_version=4,
    degraded=True,
)
MODELS = router_service_pb2.ListModelsResponse(
    models=[
        router_service_pb2.Model(model_id="small", ready=False, detail="no worker", mean_energy_joules=1.5)
    ]
)
LEARNER = feedback_service_pb2.GetLearnerStatusResponse(
    lag_events=3, lag_time=duration_pb2.Duration(seconds=2), labels_learned=8
)
METERS = energy_service_pb2.GetMetersResponse(
    meters=[
        energy_service_pb2.Meter(
            meter_id="process-cpu:a",
            available=True,
            measured_joules=60.0,
            attributed_joules=50.0,
            unattributed_joules={"idle": 10.0},
        ),
        energy_service_pb2.Meter(meter_id="gpu", available=False, detail="no driver"),
        energy_service_pb2.Meter(meter_id="doubtful", available=True, suspect="80 % of the integrated power"),
    ]
)


def shown(status: SystemStatus) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(status_view(status))
    console.file.close()
    return console.export_text()


def test_everything_asked_for_is_shown() -> None:
    text = shown(SystemStatus("127.0.0.1:1", SLA, MODELS, LEARNER, METERS))
    for words in ("0.625", "0.70", "1.25", "5.00", "2 (20 % of J)", "large 75 %, small 25 %", "no worker"):
        assert words in text
    assert "3 events (2.0 s) behind, 8 labels" in text
    assert "60.0 J measured = 50.0 J attributed + 10.0 J not (idle 10.0 J)" in text
    assert "degraded" in text
    assert "meter gpu is unavailable: no driver" in text
    assert "meter doubtful is suspect: 80 % of the integrated power" in text


def test_a_service_that_is_away_does_not_hide_the_others() -> None:
    text = shown(SystemStatus("127.0.0.1:1", SLA, MODELS, "the feedback service does not answer", METERS))
    assert "the feedback service does not answer" in text
    assert "60.0 J measured" in text


def test_shares_stand_from_largest_to_smallest() -> None:
    assert shares_text({"b": 0.1, "a": 0.9, "c": 0.0}) == "a 90 %, b 10 %"
