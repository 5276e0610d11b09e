"""Kinds of prompts whose answer is computed: arithmetic, units, sorting, counting, comparing, sequences."""

from random import Random

from cli.demo.facts import LONG_WORDS, NAMES, SHORT_WORDS
from cli.demo.question import Question

_UNITS = (
    ("kilometers", "meters", 1000),
    ("hours", "minutes", 60),
    ("kilograms", "grams", 1000),
    ("weeks", "days", 7),
    ("minutes", "seconds", 60),
    ("feet", "inches", 12),
    ("yards", "feet", 3),
    ("days", "hours", 24),
    ("pounds", "ounces", 16),
    ("meters", "centimeters", 100),
)
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def arithmetic(rng: Random) -> Question:
    """A sum, difference or product of numbers with one, two or three digits."""
    a, b = rng.randint(11, 99), rng.randint(11, 99)
    c, d = rng.randint(2, 12), rng.randint(2, 9)
    text, value = rng.choice(
        (
            (f"What is {a} + {d}?", a + d),
            (f"What is {a} + {b}?", a + b),
            (f"What is {c} * {d}?", c * d),
            (f"What is {100 + a} - {d * 10}?", 100 + a - d * 10),
            (f"What is {a} * {d}?", a * d),
            (f"What is {a} * {b}?", a * b),
        )
    )
    return Question(text, str(value), "numeric")


def units(rng: Random) -> Question:
    """A conversion between units, one in five to the larger unit."""
    larger, smaller, factor = rng.choice(_UNITS)
    amount = rng.choice((rng.randint(2, 6), rng.randint(2, 12), rng.randint(13, 60)))
    if rng.random() < 0.8:
        return Question(f"How many {smaller} are {amount} {larger}?", str(amount * factor), "numeric")
    return Question(f"How many {larger} are {amount * factor} {smaller}?", str(amount), "numeric")


def sorting(rng: Random) -> Question:
    """Three to six distinct numbers to put in order."""
    numbers = rng.sample(range(1, 100), rng.randint(3, 6))
    descending = rng.random() < 0.3
    order = "from largest to smallest" if descending else "from smallest to largest"
    listed = ", ".join(map(str, numbers))
    text = f"Sort these numbers {order}, separated by a comma and a space: {listed}."
    return Question(text, ", ".join(map(str, sorted(numbers, reverse=descending))), "contains")


def letters(rng: Random) -> Question:
    """How often a letter occurs in a word, which one comes first or last, or how many a short word has."""
    word = rng.choice(SHORT_WORDS)
    long_word = rng.choice(LONG_WORDS)
    letter = rng.choice(long_word)
    count = str(long_word.count(letter))
    return rng.choice(
        (
            Question(f'What is the first letter of the word "{long_word}"?', long_word[0], "contains"),
            Question(f'What is the last letter of the word "{word}"?', word[-1], "contains"),
            Question(f'How many letters does the word "{word}" have?', str(len(word)), "numeric"),
            Question(f'How often does the letter "{letter}" occur in "{long_word}"?', count, "numeric"),
        )
    )


def comparison(rng: Random) -> Question:
    """The larger or smaller of two whole or decimal numbers, or of two products."""
    a, b = rng.sample(range(11, 99), 2)
    whole = rng.randint(1, 9)
    left, right = rng.choice(
        (
            (str(a * 37), str(b * 37)),
            (f"{whole}.{a}", f"{whole}.{b // 10}" if a // 10 != b // 10 else f"{whole + 1}.{b}"),
            (f"{whole}.{a}", f"{whole}.{b}"),
            (f"0.0{a}", f"0.{b}"),
        )
    )
    wants_larger = rng.random() < 0.5
    text = f"Which number is {'larger' if wants_larger else 'smaller'}: {left} or {right}?"
    return Question(text, (max if wants_larger else min)(left, right, key=float), "numeric")


def number_words(rng: Random) -> Question:
    """A number in words to be written in digits, or a small one the other way round."""
    if rng.random() < 0.3:
        number = rng.randint(21, 99)
        return Question(f"Write the number {number} in English words.", spell(number), "exact")
    number = rng.choice((rng.randint(101, 999), rng.randint(1001, 9999)))
    text = f'Write the number "{spell(number)}" in digits, without separators.'
    return Question(text, str(number), "numeric")


def spell(number: int) -> str:
    """The English words of a number from 0 to 9999, without "and"."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tail = f"-{_ONES[number % 10]}" if number % 10 else ""
        return _TENS[number // 10] + tail
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    head = f"{_ONES[number // unit]} {name}"
    return f"{head} {spell(number % unit)}" if number % unit else head


def word_problem(rng: Random) -> Question:
    """A short story that needs one or two operations."""
    name, other = rng.sample(NAMES, 2)
    a, b, c = rng.randint(3, 12), rng.randint(2, 9), rng.randint(2, 6)
    left = rng.randint(5, 40)
    more = a * b + left
    text, value = rng.choice(
        (
            (f"{name} has {a} apples and buys {b} more. How many apples does {name} have now?", a + b),
            (f"{name} has {a + b} eggs and uses {b} of them. How many eggs are left?", a),
            (f"{name} is {a} years old and {other} is {b} years older. How old is {other}?", a + b),
            (f"{name} buys {a} boxes with {b} pens each. How many pens are that?", a * b),
            (f"{name} shares {a * b} sweets equally among {b} children. How many does each child get?", a),
            (f"{name} reads {a} pages a day for {b} days, then {c} more. How many pages is that?", a * b + c),
            (f"{name} has {more} coins and gives {a} to each of {b} friends. How many are left?", left),
        )
    )
    return Question(text, str(value), "numeric")


def sequence(rng: Random) -> Question:
    """The next number of an arithmetic, doubling, square or Fibonacci-like sequence, mostly arithmetic."""
    start, step, length = rng.randint(1, 20), rng.randint(1, 10), rng.randint(4, 6)
    rule = rng.choice(
        ("count", "count", "count", "step", "step", "step", "double", "double", "square", "add")
    )
    if rule == "count":
        terms = [step * (start + i) for i in range(length + 1)]
    elif rule == "step":
        terms = [start + step * i for i in range(length + 1)]
    elif rule == "double":
        terms = [step * 2**i for i in range(length + 1)]
    elif rule == "square":
        terms = [(start + i) ** 2 for i in range(length + 1)]
    else:
        terms = [start, start + step]
        while len(terms) <= length:
            terms.append(terms[-1] + terms[-2])
    shown = ", ".join(map(str, terms[:-1]))
    return Question(f"Which number comes next: {shown}, ...?", str(terms[-1]), "numeric")


def python_output(rng: Random) -> Question:
    """What a program of one to four lines prints."""
    a, b, c = rng.randint(2, 9), rng.randint(2, 9), rng.randint(10, 60)
    items = rng.sample(range(1, 50), 4)
    word, other = rng.sample(SHORT_WORDS, 2)
    program, printed = rng.choice(
        (
            (f"print({c} + {b})", c + b),
            (f"x = {a}\ny = {c}\nprint(x * y)", a * c),
            (f"x = {c}\nx = x + {a}\nprint(x)", c + a),
            (f"x = {c}\nif x > {a}:\n    print(x)", c),
            (f"items = {items}\nprint(items[{a % 4}])", items[a % 4]),
            (f"print(max({items}))", max(items)),
            (f"print(sum({items[:2]}))", sum(items[:2])),
            (f'print("{word}" + "{other}")', word + other),
            (f'word = "{word}"\nprint(word.upper())', word.upper()),
            (f'print(len("{word}") * {a})', len(word) * a),
            (f'word = "{word}"\nprint(word[::-1])', word[::-1]),
            (f"total = {c}\nfor i in range({a}):\n    total += i\nprint(total)", c + sum(range(a))),
        )
    )
    text = f"What does this Python program print?\n\n```python\n{program}\n```\n"
    return Question(text, str(printed), "numeric" if isinstance(printed, int) else "contains")
