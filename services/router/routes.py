"""What serves the requests of one zoo. When the zoo changes, new routes are made beside it and swapped in.

A request stays with the routes that it began with, so it never sees two lists of models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.learning import feature_count_of, policy_of, priors_of
from services.common.zoo import Zoo
from services.router.choosing import Chooser
from services.router.claiming import Claiming
from services.router.class_states import ClassStates
from services.router.commits import Commits
from services.router.decide import Decide
from services.router.deciding import Deciding, StrictDeciding
from services.router.fleet import Fleet, WorkerState
from services.router.generate import Generate, InFlight
from services.router.instruments import Instruments
from services.router.outcomes import Outcomes
from services.router.ports import Conversations, EnergyFigures, EventLog, FeatureSource, SnapshotSource
from services.router.running import Explorations, Running
from services.router.serving import Serving
from services.router.snapshots import Snapshots
from services.router.validation import Validation
from services.router.views import Views


@dataclass(frozen=True, slots=True)
class Routes:
    """The use cases over one zoo.

    Attributes:
        reportable: models whose outcomes are taken: the zoo's, and those that were in it before.

    """

    zoo: Zoo
    reportable: tuple[str, ...]
    fleet: Fleet
    snapshots: Snapshots
    validation: Validation
    decide: Decide
    generate: Generate
    views: Views

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the zoo's SLA classes."""
        return tuple(sla_class.name for sla_class in self.zoo.sla_classes)


@dataclass(frozen=True, slots=True)
class Shared:
    """What stays when the zoo changes: whatever holds events, class states or connections."""

    router_id: str
    instruments: Instruments
    classes: ClassStates
    commits: Commits
    outcomes: Outcomes
    log: EventLog
    source: SnapshotSource
    conversations: Conversations
    claiming: Claiming
    explorations: Explorations
    in_flight: InFlight
    energy: EnergyFigures
    features: FeatureSource

    def routes(self, zoo: Zoo, workers: Sequence[WorkerState], before: Routes | None = None) -> Routes:
        """Routes over a zoo; `workers` run parallel to its own.

        Until the learner's first snapshot for these models, what the routes before knew is carried over.
        """
        known = before.snapshots.current if before else None
        snapshots = Snapshots(
            policy_of(zoo),
            priors_of(zoo),
            feature_count_of(zoo),
            zoo.learning.energy_prior_requests,
            self.instruments,
            known,
        )
        fleet, reportable = Fleet(zoo, workers), before.reportable if before else ()
        reportable = tuple(dict.fromkeys((*zoo.model_ids, *reportable)))
        deciding = self._deciding(zoo, fleet, snapshots)
        running = Running(fleet, self.outcomes, zoo.routing.request_timeout_seconds)
        serving = Serving(deciding, fleet, running, self.explorations, self.commits, self.energy)
        return Routes(
            zoo,
            reportable,
            fleet,
            snapshots,
            Validation(zoo, reportable),
            Decide(deciding, self.claiming),
            Generate(serving, self.claiming, self.explorations, self.in_flight),
            Views(zoo, policy_of(zoo), fleet, snapshots, self.classes, self.commits, self.log),
        )

    def _deciding(self, zoo: Zoo, fleet: Fleet, snapshots: Snapshots) -> Deciding:
        chooser = Chooser(
            zoo,
            policy_of(zoo),
            priors_of(zoo),
            self.features,
            fleet,
            snapshots,
            self.classes,
            self.router_id,
        )
        if zoo.routing.consistency != "strict":
            return Deciding(chooser, self.commits, self.conversations)
        return StrictDeciding(
            chooser, self.commits, self.conversations, self.log, self.classes, snapshots, self.source
        )
