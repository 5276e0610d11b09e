"""Kinds of prompts whose answer is a word that one has to know: sentiment, capitals, Spanish, opposites."""

from random import Random

from cli.demo.facts import BLAME, CAPITALS, OPPOSITES, PRAISE, SPANISH, THINGS, WELL_KNOWN_CAPITALS
from cli.demo.question import Question


def sentiment(rng: Random) -> Question:
    """A sentence to be called positive or negative; most hide it behind a contrast or a negation."""
    thing, good, bad = rng.choice(THINGS), rng.choice(PRAISE), rng.choice(BLAME)
    sentence, label = rng.choice(
        (
            (f"The {thing} was {good}.", "positive"),
            (f"The {thing} was {bad}.", "negative"),
            (f"I expected the {thing} to be {bad}, but it turned out {good}.", "positive"),
            (f"Everyone called the {thing} {good}, but for me it was {bad}.", "negative"),
            (f"The {thing} was anything but {good}.", "negative"),
            (f"I would choose it again: the {thing} was {good}.", "positive"),
        )
    )
    return Question(f'Is this sentence positive or negative? "{sentence}"', label, "contains")


def capital(rng: Random) -> Question:
    """The capital of a country, or the country of a capital."""
    country, city = rng.choice(CAPITALS[:WELL_KNOWN_CAPITALS] if rng.random() < 0.5 else CAPITALS)
    asks = rng.choice(
        (
            (f"What is the capital of {country}?", city),
            (f"Which city is the capital of {country}?", city),
            (f"{city} is the capital of which country?", country),
            (f"Name the capital city of {country}.", city),
        )
    )
    return Question(*asks, "contains")


def spanish(rng: Random) -> Question:
    """A common Spanish word to English or back."""
    (word, english), (_, other) = rng.sample(SPANISH, 2)
    if rng.random() < 0.5:
        first, second = rng.sample((english, other), 2)
        text = f'Does the Spanish word "{word}" mean "{first}" or "{second}"?'
        return Question(text, english, "contains")
    asks = rng.choice(
        (
            (f'What is the Spanish word for "{english}"?', word),
            (f'Translate the word "{english}" into Spanish.', word),
            (f'What does the Spanish word "{word}" mean in English?', english),
            (f'Translate the Spanish word "{word}" into English.', english),
        )
    )
    return Question(*asks, "contains")


def opposite(rng: Random) -> Question:
    """The opposite of a word, to be picked from two or four."""
    pairs = rng.sample(OPPOSITES, rng.choice((2, 2, 4)))
    word, right = rng.sample(pairs[0], 2)
    options = [right, *(rng.choice(pair) for pair in pairs[1:])]
    rng.shuffle(options)
    return Question(f'Which word is the opposite of "{word}": {", ".join(options)}?', right, "contains")
