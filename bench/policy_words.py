"""The prose of `docs/evidence.md`: what the tables show, and the terms they use."""

HEAD = """# Evidence

How the policies do on recorded outcomes, replayed through the production decision function and fold. Every
number and figure on this page was written by

    python -m bench.policies

"""

ENERGY = """Single questions: `messplus replay --help`. Energy is attributed joules of all generations,
those that were only run to learn included, without idle energy."""

DATA = """## Data and what hindsight gives

The files of `../shared/data/outcomes`; their joules are estimated from completion tokens, see there.

"""

BASELINES = """

Baselines in J/request, each computed from what a policy has to find out; in parentheses the mean
satisfaction of one that misses the target.

"""

TARGETS = """

`pacer` with one fixed set of parameters and an operator's rough prior. Energy is the mean over the seeds,
satisfaction that of the worst seed.

"""

LIMITS = """

Ratios for comparison: to be reached, excellent, and about the offline limit of these features.

"""

PUBLISHED = """## The published method

At its published V and c, and at those that are best in hindsight on the same requests: of V over nine
decades and c at a tenth, one and ten times the published one, the cheapest pair whose mean over three seeds
is at most half a point short (else the pair that comes nearest). `served only` leaves exploration calls
out, as the published tables do.

"""

GRID = """

Energy over the static mixture's by V (1/J) at the published c; in parentheses where the final mean is more
than half a point short.

"""

ONE_OVER_JOULES = """

V has the unit 1/J, so the best one moves with the zoo, the data and the target.

![Energy by V](evidence/published-v.png)"""

REGIMES = """## Late, sparse and biased labels

What a missing label hides cannot be known by any policy. Where a share q of n requests is judged, drawn at
random, an unbiased account of the rest errs by sqrt(v (1 - q) / (q n)), v being the variance of a label
around its prediction ({variance:.2f} in these runs of `pacer`). For q = {share:g} that is one standard
deviation of: {luck}. All targets of a seed share this luck.

"""

ORDERS = """## Drift and topic-sorted streams

`drift` is compared with the mixture that knows the drifted averages. No causal policy keeps a target at
every prefix of a topic-sorted stream: the last column is the worst shortfall after request 1,000 of always
serving the best model.

"""

TOPICS = """## A class per topic

Topic-sorted, `pacer`, mean over the seeds. One class holds the target over all topics together; with a
class each, every topic is held to it by itself. The last column compares, in points, with the target or,
where no model reaches it, with the best model.

"""

NO_HELP = """## Where `pacer` does not help, and why

Its saving comes from telling requests apart. With the features shuffled among the requests there is nothing
to tell: what it then spends beyond the static mixture (1.000) is the price of finding out averages that the
mixture knows beforehand. On a short stream that price weighs more. Energies over the static mixture's:

"""

DEFINITIONS = """## Definitions

* **Rough prior**: each model's mean satisfaction 10 points too high or too low (the seed draws the sign),
  joules as joules per token x 300 tokens. **No prior**: nothing at all is stated.
* **drift**: from the middle of the stream on the cheapest model loses 30 % of its right answers and the
  dearest costs 1.5 times its joules. **sorted**: topic by topic, in an order of topics that the seed draws.
* **delayed:200**: a label is known 200 requests later. **partial:0.2**: a fifth of the requests is judged.
  **biased:3**: {satisfied:.0f} % of the satisfied users answer, three times as many of the dissatisfied.
  **+audit:0.02**: 2 % of the requests, drawn independently, are judged whatever users do; such labels have
  the source `audit`. Regimes go by the served answer; explored answers are judged with it.
* **final mean**: of the true satisfaction of the served answers, judged or not. **worst seed**: its
  distance to the target in points. **worst shortfall**: most that the running mean lacks after request
  1,000, in points, in any seed.
* `messplus-2024` serves the best of all answers when it explores, where labels are full; a live system
  cannot."""
