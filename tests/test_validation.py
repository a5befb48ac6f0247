"""Options are validated against their annotations, and a message says what is allowed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from rgi.errors import InputError
from rgi.validation import (
    Allowed,
    Betas,
    Count,
    Name,
    Positive,
    Share,
    Switch,
    Text,
    check,
    checked,
    number,
    one_of,
    typed,
)


@checked("group")
@dataclass(frozen=True)
class Options:
    rate: Positive = 1.0
    steps: Count | None = None
    word: Literal["one", "two"] = "one"
    penalty: Positive | Literal["auto"] = "auto"
    switch: Switch = False
    betas: Betas = (0.9, 0.99)


class Base:
    @checked("group")
    def __init__(self, size: Count, root: Text, anything: Any = None):
        self.size, self.root, self.anything = size, root, anything


class Derived(Base):
    @checked("group")
    def __init__(self, share: Share, **others: Any):
        super().__init__(**others)
        self.share = share


class WithoutOptions:
    @checked("group")
    def __init__(self):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0}, "group.rate=0: must be a number above 0"),
        ({"rate": float("inf")}, "group.rate=inf: must be a number above 0"),
        ({"rate": "1"}, "group.rate=1: must be a number above 0"),
        ({"rate": True}, "group.rate=true: must be a number above 0"),
        ({"steps": 0}, "group.steps=0: must be a whole number of at least 1, or null"),
        ({"steps": 2.0}, "group.steps=2.0: must be a whole number of at least 1, or null"),
        ({"word": "three"}, "group.word=three: must be one of one, two"),
        ({"penalty": "large"}, "group.penalty=large: must be a number above 0, or auto"),
        ({"switch": 1}, "group.switch=1: must be true or false"),
        ({"betas": [0.5, 1]}, r"group.betas=\[0.5,1\]: must be two numbers of at least 0 and below 1"),
        ({"betas": [0.5]}, r"group.betas=\[0.5\]: must be two numbers"),
        ({"betas": 0.5}, "group.betas=0.5: must be two numbers"),
        ({"colour": 1}, "group.colour: no such option; use one of rate, steps, word, penalty, switch, betas"),
    ],
)
def test_a_wrong_value_is_one_line(options, message):
    with pytest.raises(InputError, match=f"^{message}"):
        Options(**options)


def test_right_values_arrive():
    options = Options(rate=2, steps=3, penalty=0.5, betas=[0, 0.5])
    assert (options.rate, options.steps, options.penalty, options.betas) == (2, 3, 0.5, (0, 0.5))
    derived = Derived(0.5, size=4, root=7)
    assert (derived.share, derived.size, derived.root) == (0.5, 4, "7")


def test_a_subclass_names_the_options_of_its_base():
    with pytest.raises(InputError, match=r"^group.size=0: must be a whole number of at least 1$"):
        Derived(0.5, size=0, root="x")
    with pytest.raises(InputError, match=r"^group.root: not given; add group.root=\.\.\.$"):
        Derived(0.5, size=1)

    with pytest.raises(InputError, match=r"^group.colour: no such option; use one of share, size, root, anything$"):
        Derived(0.5, size=1, root="x", colour="red")
    with pytest.raises(InputError, match=r"^group.colour: no such option; remove it$"):
        WithoutOptions(colour="red")


def test_what_has_no_range_is_handed_on_as_it_is():
    tensor = np.zeros(3)
    assert Base(1, "x", tensor).anything is tensor


def test_a_wrong_call_is_no_wrong_input():
    for arguments, options in (((1, "x", None, 4), {}), ((1, "x"), {"size": 2})):
        with pytest.raises(TypeError):
            Base(*arguments, **options)


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (2024, "2024"), (0.5, "0.5"), (Path("a/b"), "a/b")])
def test_texts(value, text):
    assert Base(1, value).root == text


def test_one_value():
    check("map.sigma", 3, Count)
    with pytest.raises(InputError, match=r"^map.sigma=-1: must be a whole number of at least 1, or null$"):
        check("map.sigma", -1, Count | None)


@pytest.mark.parametrize(
    ("annotation", "right", "wrong", "words"),
    [
        (number(1), [1, 2.5, np.float64(3)], [0.5, True, "2", np.bool_(True), np.float32(3)], "a number of at least 1"),
        (one_of("a", "b"), ["a", "b"], ["c", None, 1, ["a"]], "one of a, b"),
        (one_of(1, 3), [1, 3], [2, True, 1.0, "1"], "one of 1, 3"),
        (Annotated[one_of(1), Allowed("one"), Allowed("1 alone")], [1], [2], "1 alone"),
        (
            Text | None,
            [None, "a/b", 3],
            ["", [], {}, "a\0b", "\udce9", "x" * 256, "x/" * 4000],
            "a name or a path, or null",
        ),
        (Name, ["screw", 3], ["", "a/b", None, []], "a plain name, without a slash"),
    ],
)
def test_ranges(annotation, right, wrong, words):
    for value in right:
        check("option", value, annotation)
    for value in wrong:
        with pytest.raises(InputError) as error:
            check("option", value, annotation)
        assert str(error.value) == f"option={typed(value)}: must be {words}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (0.5, "0.5"),
        ("None", "None"),
        ([None, True, ["a"]], "[null,true,[a]]"),
        ((), "[]"),
        ({"a": None, "b": [1]}, "{a:null,b:[1]}"),
    ],
)
def test_messages_show_values_as_they_are_typed(value, text):
    assert typed(value) == text
