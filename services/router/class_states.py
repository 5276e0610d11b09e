"""What the router believes of every SLA class's step and decision debt between the log's replies.

Committed values come from the log; what this router decided but the log has not confirmed is added on
top, so that a burst does not decide on one stale step.
"""

from services.router.ports import ClassState


class _Belief:
    __slots__ = ("debt", "pending_debt", "pending_steps", "step")

    def __init__(self) -> None:
        self.step, self.debt = 0, 0.0
        self.pending_steps, self.pending_debt = 0, 0.0


class ClassStates:
    """Step and decision debt per SLA class, for the classes named so far."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._beliefs = {name: _Belief() for name in names}

    def add(self, names: tuple[str, ...]) -> None:
        """Knows these classes as well. None is forgotten: its last requests may still be on their way."""
        for name in names:
            self._beliefs.setdefault(name, _Belief())

    def state(self, sla_class: str) -> ClassState:
        """Decisions so far and their debt, the unconfirmed ones included."""
        belief = self._beliefs[sla_class]
        return ClassState(belief.step + belief.pending_steps, belief.debt + belief.pending_debt)

    def decided(self, sla_class: str, debt_change: float) -> None:
        """A decision is on its way into the log."""
        belief = self._beliefs[sla_class]
        belief.pending_steps += 1
        belief.pending_debt += debt_change

    def charged(self, sla_class: str, debt_change: float) -> None:
        """A change of the debt alone is on its way into the log."""
        self._beliefs[sla_class].pending_debt += debt_change

    def settled(self, sla_class: str, is_decision: bool, debt_change: float, step: int, debt: float) -> None:
        """An entry that was on its way is in the log, and this is where its class stands."""
        belief = self._beliefs[sla_class]
        belief.pending_steps -= is_decision
        belief.pending_debt -= debt_change
        self.committed(sla_class, step, debt)

    def committed(self, sla_class: str, step: int, debt: float) -> None:
        """Where a class stands in the log, as the reply to this router's newest batch says."""
        belief = self._beliefs[sla_class]
        belief.step, belief.debt = step, debt

    def seen(self, sla_class: str, state: ClassState) -> None:
        """Where a class stands in the log, as a read of its own says; a batch under way knows better."""
        belief = self._beliefs[sla_class]
        if not belief.pending_steps:
            belief.step, belief.debt = state
