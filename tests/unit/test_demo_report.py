import base64
import io
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from cli.demo.figures import draw_figures
from cli.demo.report import summary_table, write_report
from cli.demo.spent import PowerPoint, RunEnergy, SpentGeneration
from cli.demo.summary import BaselineAnswer, RoutedRequest, summarize
from services.core.events import EnergyAttributed

PNG = b"\x89PNG\r\n\x1a\n"
HOSTILE = "<script>alert('x')</script>&[bold]$x_1$"


def summary(count=12, satisfied=1.0, served=2.0, models=("small", "large"), kind="capital"):
    run = [
        RoutedRequest(str(i), kind, models[i % len(models)], satisfied, served, served / 2, 0.1 * i, float(i))
        for i in range(count)
    ]
    measured = {
        model: {str(i): BaselineAnswer(float(i % 3 < 1 + rank), served * (1 + rank)) for i in range(count)}
        for rank, model in enumerate(models)
    }
    idle = dict.fromkeys(models, served)
    return summarize(run, measured, min_satisfaction=0.8, idle_watts=idle, duration_seconds=count, seed=1)


EXTREMES = {
    "ordinary": summary(),
    "no joules at all": summary(served=0.0),
    "never met": summary(satisfied=0.0),
    "one prompt": summary(count=1),
    "one model": summary(models=("small",)),
    "nine models": summary(models=tuple(f"model-{i}" for i in range(9))),
    "hostile names": summary(models=(HOSTILE, "large"), kind=HOSTILE),
}


def spent(summary, power=True):
    """Every request as one generation of 1.5 s, a second apart; the meters show 1 W more than they drew."""
    joules = summary.trace.served_joules
    generations = [
        SpentGeneration(
            "capital", float(i), i + 1.5, EnergyAttributed(f"r{i}", f"g{i}", model, float(j), method="nvml")
        )
        for i, (model, j) in enumerate(zip(summary.trace.model_ids, joules, strict=True))
    ]
    points = [PowerPoint(i / 2, 2.0) for i in range(2 * len(generations))]
    return RunEnergy(generations, points if power else ())


ENERGIES = {name: spent(each, power=name != "one prompt") for name, each in EXTREMES.items()}
ENERGIES["no joules at all"] = RunEnergy()


class Collector(HTMLParser):
    """Tags with their attributes and the text between them."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def collected(page):
    collector = Collector()
    collector.feed(page.read_text(encoding="utf-8"))
    return collector


@pytest.mark.parametrize("case", EXTREMES)
def test_the_report_renders(case, tmp_path):
    page = write_report(
        tmp_path / "deep" / "folder", EXTREMES[case], ENERGIES[case], {"seed": "1", HOSTILE: HOSTILE}
    )
    parsed = collected(page)
    assert HOSTILE in parsed.text
    assert not [tag for tag, _ in parsed.tags if tag in {"script", "link", "iframe"}]
    images = [attrs["src"] for tag, attrs in parsed.tags if tag == "img"]
    assert len(images) == 6
    for image in images:
        assert base64.b64decode(image.removeprefix("data:image/png;base64,")).startswith(PNG)
    assert len(list(page.parent.glob("*.png"))) == 6


def test_the_page_loads_nothing_from_elsewhere(tmp_path):
    page = write_report(tmp_path, EXTREMES["ordinary"], ENERGIES["ordinary"], {})
    text = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page.read_text(encoding="utf-8"))
    assert not re.search(r"https?:|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text


def test_a_loss_reads_as_a_loss_on_the_page(tmp_path):
    parsed = collected(write_report(tmp_path, EXTREMES["never met"], ENERGIES["never met"], {}))
    assert "SLA MISSED: 0.0 %" in parsed.text
    assert ("li", {"class": "bad"}) in parsed.tags
    assert ("li", {"class": "good"}) not in parsed.tags


@pytest.mark.parametrize("case", EXTREMES)
def test_the_table_names_every_contender(case):
    console = Console(file=io.StringIO(), width=400)
    console.print(summary_table(EXTREMES[case]))
    printed = console.file.getvalue()
    expected = ["router", "static-mixture", "random-with-constraint"]
    for name in expected + [single.name for single in EXTREMES[case].singles]:
        assert name in printed


def test_titles_say_the_finding():
    titles = {
        name: picture.title
        for name, picture in draw_figures(EXTREMES["never met"], ENERGIES["never met"]).items()
    }
    assert titles["satisfaction"] == "The target is never met for good: 0.0 % at the end"
    assert titles["exploration"] == "Exploration took 33.3 % of the router's energy"
    assert titles["power"] == "Power over time by request: 24 J in 12 requests"
    assert titles["queue"] == "The virtual queue peaks at 1.1 (request 12) and ends at 1.1"
