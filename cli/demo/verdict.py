"""The run's outcome in plain sentences; a loss reads as a loss."""

from collections.abc import Mapping

from cli.demo.baselines import Contender
from cli.demo.summary import Comparison, Summary


def verdict(summary: Summary) -> tuple[str, ...]:
    """Whether the SLA was met, whether the router beat the best static mixture, what exploration cost."""
    return (
        sla_verdict(summary),
        comparison_verdict("Without idle energy", summary.without_idle, summary.static_mixture),
        comparison_verdict("With idle energy", summary.with_idle, summary.static_mixture_with_idle),
        price_verdict(summary),
        f"Exploration took {percent(summary.exploration_share)} of the router's energy.",
    )


def sla_verdict(summary: Summary) -> str:
    """Met or missed, by how much, since when, and how much of that may be chance."""
    gap = f"{abs(summary.margin) * 100:.1f} points {'above' if summary.met else 'below'}"
    since = "" if summary.met_from is None else f", for good from request {summary.met_from:,}"
    outcome = "met" if summary.met else "MISSED"
    return (
        f"SLA {outcome}: {percent(summary.router.mean_satisfaction)} of the answers were "
        f"satisfactory, {gap} the target of {percent(summary.min_satisfaction)}{since}. "
        f"One standard error over {_requests(summary)} is {summary.standard_error * 100:.1f} points."
    )


def comparison_verdict(condition: str, comparison: Comparison, mixture: Contender) -> str:
    """Won, lost, or cheaper only because the target was missed."""
    figures = f"{joules(comparison.router_joules)} against {joules(comparison.mixture_joules)} per request"
    rival = f"the best static mixture ({weights(mixture.weights)})"
    if not comparison.mixture_feasible:
        return f"{condition} {_without_rival(mixture)}; the router spent {figures}{_difference(comparison)}."
    if comparison.won:
        return f"{condition} the router BEAT {rival}: {figures}{_difference(comparison)}."
    if comparison.router_joules >= comparison.mixture_joules:
        missed = "" if comparison.router_kept_target else ", and missed the target that the mixture keeps"
        tied = comparison.router_joules == comparison.mixture_joules
        return (
            f"{condition} the router {'TIED WITH' if tied else 'LOST to'} {rival}: {figures}"
            f"{_difference(comparison)}{missed}."
        )
    return (
        f"{condition} the router did NOT beat {rival}: {figures}{_difference(comparison)}, "
        "but it missed the target that the mixture keeps."
    )


def price_verdict(summary: Summary) -> str:
    """The comparison without what models cost each other that run side by side, as the router's do."""
    alike = summary.priced_alike
    figures = f"{joules(alike.router_joules)} against {joules(alike.mixture_joules)}"
    return (
        "The mixture is made of runs in which each model had the machine to itself; at what the models took "
        f"then, the router's choices cost {figures} per request{_difference(alike)}."
    )


def weights(shares: Mapping[str, float]) -> str:
    """A mixture in words, for example `63 % small + 37 % large`; one model alone is just named."""
    shown = [(model, share) for model, share in shares.items() if share > 0]
    if len(shown) == 1:
        return shown[0][0]
    return " + ".join(f"{percent(share, 0)} {model}" for model, share in shown)


def joules(amount: float) -> str:
    """Energy with three significant digits, for example `0.0123 J`, `12.3 J` or `1,230 J`."""
    return f"{amount:,.0f} J" if amount >= 1000 else f"{amount:.3g} J"


def percent(share: float, digits: int = 1) -> str:
    """A share of one in percent."""
    return f"{share * 100:.{digits}f} %"


def _difference(comparison: Comparison) -> str:
    if not comparison.saving:
        return ""
    return f", {percent(abs(comparison.saving))} {'less' if comparison.saving > 0 else 'more'}"


def _without_rival(best: Contender) -> str:
    model = f"{weights(best.weights)} with {percent(best.mean_satisfaction)}"
    return f"no mixture of these models reaches the target (best: {model})"


def _requests(summary: Summary) -> str:
    count = summary.trace.satisfaction.size
    return f"{count:,} request{'' if count == 1 else 's'}"
