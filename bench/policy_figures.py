"""The figures of the evidence page, as PNG files beside it."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from bench.policy_evidence import KEPT_POINTS, MODES, Evidence, by_weight
from bench.policy_runs import PUBLISHED, Setting
from bench.policy_targets import RATIOS, complete, mean_joules
from cli.demo.theme import LIGHT
from cli.picture import PALETTE, drawn


def write_figures(folder: Path, evidence: Evidence) -> None:
    """PNG files beside the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in evidence.targets:
        picture = drawn(
            lambda figure, _, file=file: _draw_energy(figure.add_subplot(), evidence, file), LIGHT
        )  # type: ignore[misc]
        (folder / f"energy-{file}.png").write_bytes(picture.png)
    picture = drawn(lambda figure, _: _draw_weights(figure.subplots(1, 2), evidence), LIGHT)
    (folder / "published-v.png").write_bytes(picture.png)


def _draw_energy(axes: Axes, evidence: Evidence, file: str) -> str:
    alphas = evidence.targets[file]
    for name, dashes in (("static-mixture", "--"), ("domain-mixture", "-."), ("clairvoyant", ":")):
        bills = [evidence.baselines[file, "random"][name][alpha].energy_joules for alpha in alphas]
        axes.plot(alphas, bills, dashes, color=LIGHT.rival, label=name)
    for policy, colour in zip(("pacer", *MODES), (PALETTE[4], PALETTE[2], PALETTE[5]), strict=True):
        found = [(a, runs) for a in alphas if (runs := complete(evidence.results, Setting(file, policy, a)))]
        means = [mean_joules(runs) for _, runs in found]
        spread = [
            [
                mean - min(r.joules for r in runs.values())
                for mean, (_, runs) in zip(means, found, strict=True)
            ],
            [
                max(r.joules for r in runs.values()) - mean
                for mean, (_, runs) in zip(means, found, strict=True)
            ],
        ]
        if found:
            axes.errorbar(
                [a for a, _ in found], means, spread, color=colour, marker="o", capsize=3, label=policy
            )
    axes.set_ylim(bottom=0)
    axes.set_xticks(alphas, [f"{100 * alpha:g} %" for alpha in alphas])
    axes.set_xlabel("target")
    axes.set_ylabel("energy per request (J)")
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return f"{file}: energy against the target, least to largest seed"


def _draw_weights(panels: Sequence[Axes], evidence: Evidence) -> str:
    for axes, mode in zip(panels, MODES, strict=True):
        for (file, alpha), colour in zip(RATIOS, PALETTE, strict=False):
            points = by_weight(evidence, mode, file, alpha) if file in evidence.targets else []
            axes.plot(
                [p[0] for p in points],
                [p[1] for p in points],
                color=colour,
                label=f"{file} {100 * alpha:g} %",
            )
            kept = [p for p in points if p[2] >= KEPT_POINTS]
            axes.plot([p[0] for p in kept], [p[1] for p in kept], "o", color=colour)
        axes.axvline(PUBLISHED[mode][0], color=LIGHT.muted, linestyle=":")
        axes.axhline(1.0, color=LIGHT.muted, linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xticks([1e-7, 1e-4, 1e-1], ["1e-7", "1e-4", "0.1"])
        axes.set_xlabel(f"V of {mode} (1/J)")
    panels[0].set_ylabel("energy / static mixture")
    panels[0].legend(frameon=False, fontsize=7)
    return "Dots keep the target; dotted: the published V"
