"""The fixed parts of the HTML report: its style sheet and the definitions of its terms."""

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --muted: #57606a; --line: #d8dee4;
  --good: #0072b2; --bad: #b34700; --raised: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ground: #161b22; --ink: #e6edf3; --muted: #9198a1;
  --line: #3d444d; --good: #56b4e9; --bad: #f0883e; --raised: #21262d; } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 800px; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
.verdict { list-style: none; padding: 0; }
.verdict li { background: var(--raised); border-left: 4px solid var(--muted); margin: .5rem 0;
  padding: .5rem .8rem; }
.verdict .good { border-color: var(--good); } .verdict .bad { border-color: var(--bad); }
.wide, .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: right; }
th { color: var(--muted); font-weight: 600; } .router td { font-weight: 700; }
th:first-child, td:first-child, .wide th:last-child, .wide td:last-child, th.words, td.words {
  text-align: left; }
figure { margin: 2.5rem 0; } img { display: block; width: 100%; height: auto; }
dl { font-size: .9rem; } dt { font-weight: 600; margin-top: .6rem; } dd { margin: 0; color: var(--muted); }
"""
"""Style sheet; follows the reader's light or dark setting."""

DEFINITIONS: dict[str, str] = {
    "satisfied": "Mean of the labels; an answer's label is 1 if it agrees with the known answer, else 0.",
    "target": "The SLA: the least mean satisfaction that the routed requests must reach.",
    "met for good": "From this request on, the mean of all labels so far never falls below the target again.",
    "energy per request": "Joules of every generation made for a request, explored ones included, averaged.",
    "attributed joules": "A generation's part of what the meters read. MEASURED is from a counter, MODELLED "
    "from CPU-seconds times a configured power, ESTIMATED where nothing was measured; the tier says how "
    "finely the worker reported its steps (A engine steps, B token times, C request times, D none).",
    "power by request": "The middle of the run. What lies between the bands and the line belongs to no "
    "request: idle power, overhead, and joules of a request that it did not draw as evenly as its band is. "
    "The line is a mean over ten seconds: a worker's own meter is read where its steps end.",
    "with idle energy": "The same plus idle power times the routed run's duration, for every model that "
    "must stay loaded: all of them for the router, two for a mixture of two, one for a single model.",
    "single:<model>": "The model asked every prompt of this run, after the routed run and outside its state.",
    "static-mixture": "The cheapest mixture of two models that reaches the target, from their averages on "
    "these very prompts: it knows in hindsight what the router had to learn. If none reaches the target, "
    "the model of the highest satisfaction.",
    "random-with-constraint": "Draws uniformly among the models that keep the mean satisfaction so far at "
    "the target, else takes the best one; mean of 200 runs on these outcomes.",
    "virtual queue": "What the answers so far owe to the target; a long one favours good models.",
    "standard error": "By how much the mean satisfaction would typically differ in another such run.",
}
"""Terms of the report and what they mean."""
