"""Options and their ranges: the annotations of a constructor are its table of names, types and ranges.

pydantic validates. A wrong value ends in one `InputError`: the option as the user calls it, its value, what is allowed.
"""

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, validate_call

from rgi.errors import InputError

Target = TypeVar("Target", bound=Callable[..., Any])
STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)  # no "3" for 3, no 1 for true


@dataclass(frozen=True)
class Allowed:
    """The range of an annotation in words, for messages."""

    words: str


def whole(least: int) -> Any:
    """The annotation of a whole number of at least ``least``."""
    return Annotated[int, Field(ge=least), Allowed(f"a whole number of at least {least}")]


Count = whole(1)
Index = whole(0)
Seed = Annotated[int, Field(ge=0, lt=2**32), Allowed("a whole number of at least 0 and below 2^32")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), Allowed("a number above 0")]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), Allowed("a number of at least 0")]
Share = Annotated[float, Field(ge=0, lt=1), Allowed("a number of at least 0 and below 1")]
Fraction = Annotated[float, Field(gt=0, lt=1), Allowed("a number above 0 and below 1")]
Switch = Annotated[bool, Allowed("true or false")]
Betas = Annotated[
    tuple[Share, Share],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, Sequence) else value),
    Allowed("two numbers of at least 0 and below 1"),
]
Text = Annotated[str, BeforeValidator(str), Allowed("a text")]  # a path, or what YAML makes a number of


def checked(group: str) -> Callable[[Target], Target]:
    """Decorate a class, or a function, so that its arguments are validated against their annotations.

    Args:
        group: what the user calls the options: argument ``sigma`` of group ``map`` is ``map.sigma``.
    """

    def decorate(target: Target) -> Target:
        if isinstance(target, type):
            target.__init__ = _validated(target.__init__, group)
            return target
        return _validated(target, group)

    return decorate


def check(option: str, value: Any, annotation: Any) -> None:
    """Validate one value.

    Raises:
        InputError: it is not what the annotation allows.
    """
    try:
        TypeAdapter(annotation, config=STRICT).validate_python(value)
    except ValidationError as error:
        raise InputError(f"{option}={value}: must be {allowed(annotation)}") from error


def allowed(annotation: Any) -> str:
    """What an annotation allows, in words."""
    kind, parts = get_origin(annotation), get_args(annotation)
    if annotation in (None, type(None)):
        return "null"
    if kind is Annotated:
        return next((part.words for part in parts if isinstance(part, Allowed)), allowed(parts[0]))
    if kind is Literal:
        return f"one of {', '.join(map(str, parts))}" if len(parts) > 1 else str(parts[0])
    if kind in (Union, types.UnionType):
        return ", or ".join(map(allowed, parts))
    return getattr(annotation, "__name__", str(annotation))


def _validated(function: Callable[..., Any], group: str) -> Callable[..., Any]:
    validated, signature = validate_call(function, config=STRICT), inspect.signature(function)
    annotations = get_type_hints(function, include_extras=True)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return validated(*args, **kwargs)
        except ValidationError as error:
            first = error.errors()[0]
            place = first["loc"][0]
            name = list(signature.parameters)[place] if isinstance(place, int) else place
            if first["type"] == "unexpected_keyword_argument":
                options = ", ".join(other for other in signature.parameters if other != "self")
                raise InputError(f"{group}.{name}: no such option; one of {options}") from error
            if first["type"].startswith("missing"):
                raise InputError(f"{group}.{name}: not given; add {group}.{name}=...") from error
            value = signature.bind_partial(*args, **kwargs).arguments[name]
            raise InputError(f"{group}.{name}={value}: must be {allowed(annotations[name])}") from error

    return call
