"""Options are validated against their annotations, and a message says what is allowed."""

from dataclasses import dataclass
from typing import Literal

import pytest

from rgi.errors import InputError
from rgi.validation import Betas, Count, Positive, Share, Switch, Text, check, checked


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
    def __init__(self, size: Count, root: Text):
        self.size, self.root = size, root


class Derived(Base):
    @checked("group")
    def __init__(self, share: Share, **others):
        super().__init__(**others)
        self.share = share


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0}, "group.rate=0: must be a number above 0"),
        ({"rate": float("inf")}, "group.rate=inf: must be a number above 0"),
        ({"rate": "1"}, "group.rate=1: must be a number above 0"),
        ({"rate": True}, "group.rate=True: must be a number above 0"),
        ({"steps": 0}, "group.steps=0: must be a whole number of at least 1, or null"),
        ({"steps": 2.0}, "group.steps=2.0: must be a whole number of at least 1, or null"),
        ({"word": "three"}, "group.word=three: must be one of one, two"),
        ({"penalty": "large"}, "group.penalty=large: must be a number above 0, or auto"),
        ({"switch": 1}, "group.switch=1: must be true or false"),
        ({"betas": [0.5, 1]}, r"group.betas=\[0.5, 1\]: must be two numbers of at least 0 and below 1"),
        ({"betas": 0.5}, "group.betas=0.5: must be two numbers"),
        ({"colour": 1}, "group.colour: no such option; one of rate, steps, word, penalty, switch, betas"),
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
        Derived(0.5, size=0, root="")
    with pytest.raises(InputError, match=r"^group.root: not given; add group.root=\.\.\.$"):
        Derived(0.5, size=1)


def test_one_value():
    check("map.sigma", 3, Count)
    with pytest.raises(InputError, match=r"^map.sigma=-1: must be a whole number of at least 1, or null$"):
        check("map.sigma", -1, Count | None)
