import contextlib
import io
import itertools
import operator
import re
from collections import Counter

import pytest

from cli.demo.facts import CAPITALS, OPPOSITES, PRAISE, SPANISH
from cli.demo.number_kinds import spell
from cli.demo.prompts import INSTRUCTION, KINDS, generate_prompts

PROMPTS = generate_prompts(5000, seed=3)
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def of_kind(kind):
    found = [prompt for prompt in PROMPTS if prompt.kind == kind]
    assert len(found) > 300
    return found


def numbers(text):
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def test_same_seed_same_prompts_and_another_seed_others():
    assert generate_prompts(100, seed=1) == generate_prompts(100, seed=1)
    assert generate_prompts(100, seed=1) != generate_prompts(100, seed=2)


def test_kinds_are_mixed_evenly_over_any_whole_number_of_blocks():
    assert len(KINDS) >= 12
    assert set(Counter(prompt.kind for prompt in PROMPTS[: 40 * len(KINDS)]).values()) == {40}


def test_no_text_occurs_twice_and_every_prompt_ends_with_the_instruction():
    assert len({prompt.text for prompt in PROMPTS}) == len(PROMPTS) == 5000
    assert all(prompt.text.endswith(INSTRUCTION) and prompt.reference for prompt in PROMPTS)


def test_counts_at_the_edge():
    assert generate_prompts(0, seed=1) == []
    with pytest.raises(ValueError, match="-1"):
        generate_prompts(-1, seed=1)


def test_a_kind_that_is_used_up_repeats_itself_instead_of_ending(monkeypatch):
    monkeypatch.setattr(
        "cli.demo.prompts.KINDS", {"opposite": lambda rng: KINDS["opposite"](rng.__class__(1))}
    )
    assert len({prompt.text for prompt in generate_prompts(3, seed=1)}) == 1


def test_arithmetic_references():
    for prompt in of_kind("arithmetic"):
        left, sign, right = re.search(r"(\d+) (\S) (\d+)\?", prompt.text).groups()
        assert int(prompt.reference) == OPERATORS[sign](int(left), int(right))


def test_python_references_by_running_the_program():
    for prompt in of_kind("python-output"):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(re.search(r"```python\n(.*)\n```", prompt.text, re.DOTALL).group(1), {})
        assert prompt.reference == printed.getvalue().strip()


def test_sorting_references():
    for prompt in of_kind("sorting"):
        given = numbers(prompt.text)
        assert numbers(prompt.reference) == sorted(given, reverse="largest to smallest" in prompt.text)


def test_comparison_references():
    for prompt in of_kind("comparison"):
        pick = max if "larger" in prompt.text else min
        left, right = numbers(prompt.text.split(":")[1])
        assert left != right
        assert float(prompt.reference) == pick(left, right)


def test_letter_references():
    for prompt in of_kind("letters"):
        *letter, word = re.findall(r'"(\w+)"', prompt.text)
        if letter:
            expected = str(sum(character == letter[0] for character in word))
        elif "How many" in prompt.text:
            expected = str(len(word))
        else:
            expected = word[0 if "first" in prompt.text else -1]
        assert prompt.reference == expected


def test_unit_references():
    in_smallest = {
        "seconds": 1,
        "minutes": 60,
        "hours": 3600,
        "days": 86_400,
        "weeks": 604_800,
        "meters": 100,
        "centimeters": 1,
        "kilometers": 100_000,
        "grams": 1,
        "kilograms": 1000,
        "inches": 1,
        "feet": 12,
        "yards": 36,
        "ounces": 1,
        "pounds": 16,
    }
    for prompt in of_kind("units"):
        wanted, amount, given = re.search(r"How many (\w+) are (\d+) (\w+)\?", prompt.text).groups()
        assert int(prompt.reference) * in_smallest[wanted] == int(amount) * in_smallest[given]


def test_number_word_references_name_each_number_once():
    assert spell(0) == "zero"
    assert spell(15) == "fifteen"
    assert spell(40) == "forty"
    assert spell(1000) == "one thousand"
    assert spell(7305) == "seven thousand three hundred five"
    assert spell(9999) == "nine thousand nine hundred ninety-nine"
    in_words = {spell(number): number for number in range(10_000)}
    assert len(in_words) == 10_000
    for prompt in of_kind("number-words"):
        quoted = re.search(r'"(.+)"', prompt.text)
        words, digits = (
            (quoted[1], prompt.reference) if quoted else (prompt.reference, numbers(prompt.text)[0])
        )
        assert in_words[words] == int(digits)


def test_word_problem_references():
    solutions = {
        r"has (\d+) apples and buys (\d+) more": lambda a, b: a + b,
        r"has (\d+) eggs and uses (\d+)": lambda a, b: a - b,
        r"is (\d+) years old and \w+ is (\d+) years older": lambda a, b: a + b,
        r"buys (\d+) boxes with (\d+) pens": lambda a, b: a * b,
        r"shares (\d+) sweets equally among (\d+)": lambda a, b: a / b,
        r"reads (\d+) pages a day for (\d+) days, then (\d+) more": lambda a, b, c: a * b + c,
        r"has (\d+) coins and gives (\d+) to each of (\d+)": lambda a, b, c: a - b * c,
    }
    for prompt in of_kind("word-problem"):
        matches = [(match, f) for p, f in solutions.items() if (match := re.search(p, prompt.text))]
        assert len(matches) == 1
        match, solve = matches[0]
        assert int(prompt.reference) == solve(*map(int, match.groups()))


def test_sequence_references_continue_a_rule_that_the_shown_numbers_obey():
    for prompt in of_kind("sequence"):
        terms = [*numbers(prompt.text), float(prompt.reference)]
        steps = [b - a for a, b in itertools.pairwise(terms)]
        arithmetic = len(set(steps)) == 1
        squares = {step - previous for previous, step in itertools.pairwise(steps)} == {2}
        doubling = all(b == 2 * a for a, b in itertools.pairwise(terms))
        sums = all(c == a + b for a, b, c in zip(terms, terms[1:], terms[2:], strict=False))
        assert arithmetic or squares or doubling or sums, terms


def test_fact_references():
    capitals, spanish = dict(CAPITALS), dict(SPANISH)
    assert len(capitals) == len(CAPITALS) == len({city for _, city in CAPITALS})
    assert len(spanish) == len(SPANISH) == len({english for _, english in SPANISH})
    for prompt in of_kind("capital"):
        partners = [b for pair in CAPITALS for a, b in (pair, pair[::-1]) if a == prompt.reference]
        assert any(re.search(rf"\b{partner}\b", prompt.text) for partner in partners)
    for prompt in of_kind("spanish"):
        asked = re.search(r'"(\w+)"', prompt.text).group(1)
        assert spanish.get(asked) == prompt.reference or spanish.get(prompt.reference) == asked


def test_opposites_offer_exactly_one_right_option():
    words = [word for pair in OPPOSITES for word in pair]
    assert len(words) == len(set(words))
    partner = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}
    for prompt in of_kind("opposite"):
        word, options = re.search(r'"(\w+)": ([^?]+)\?', prompt.text).groups()
        assert [option for option in options.split(", ") if option == partner[word]] == [prompt.reference]


def test_sentiment_ends_on_the_word_that_decides():
    for prompt in of_kind("sentiment"):
        last = re.search(r'(\w+)\."', prompt.text).group(1)
        praised = (last in PRAISE) != ("anything but" in prompt.text)
        assert prompt.reference == ("positive" if praised else "negative")
