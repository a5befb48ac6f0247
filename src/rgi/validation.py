"""Validation of options: the annotations of a constructor define the names, types and ranges of its options.

pydantic validates the values. For a wrong value, an `InputError` names the option, the value and the allowed values.
"""

import functools
import inspect
import os
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, validate_call

from rgi.errors import InputError, did_you_mean

LONGEST_NAME, LONGEST_PATH = 255, 4000  # bytes that file systems allow, less a few for files below a folder
Target = TypeVar("Target", bound=Callable[..., Any])
STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)  # "3" is not valid for 3, and 1 is not valid for true


@dataclass(frozen=True)
class Allowed:
    """The allowed values in words, as a part of an annotation. The last `Allowed` of an annotation counts.

    Attributes:
        words: text after "must be" in error messages.
    """

    words: str


def _number(value: Any) -> Any:
    """Accept only int and float: pydantic would accept any object with ``__float__``, such as a NumPy bool."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a number")
    return value


def _text(value: Any) -> Any:
    """Convert numbers to text, because YAML parses the folder name 2024 as a number.

    Accept only text that the operating system takes as a path, which may not exist.
    """
    text = str(value) if isinstance(value, int | float | os.PathLike) else value
    if isinstance(text, str):
        longest = max(len(part.encode()) for part in text.split("/"))
        if not text or "\0" in text or longest > LONGEST_NAME or len(text.encode()) > LONGEST_PATH:
            raise ValueError("is no path")
    return text


def _tuple(value: Any) -> Any:
    """Convert lists of YAML files and of the command line to tuples."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False), Allowed("a number")]
AsTuple = BeforeValidator(_tuple)


def integer(minimum: int) -> Any:
    """Annotation of a whole number that is at least ``minimum``."""
    return Annotated[int, Field(ge=minimum), Allowed(f"a whole number of at least {minimum}")]


def number(minimum: float) -> Any:
    """Annotation of a finite number that is at least ``minimum``."""
    return Annotated[Number, Field(ge=minimum), Allowed(f"a number of at least {minimum}")]


def one_of(*choices: str | int) -> Any:
    """Annotation of one of several words or whole numbers that are computed; otherwise use ``Literal``."""

    def same_type(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, tuple({type(choice) for choice in choices})):
            raise ValueError("is of another type")  # in Python, 1 == True == 1.0
        return value

    return Annotated[Literal[choices], BeforeValidator(same_type)]


Count = integer(1)
Index = integer(0)  # position or step, counted from 0
Seed = Annotated[int, Field(ge=0, lt=2**32), Allowed("a whole number of at least 0 and below 2^32")]
Positive = Annotated[Number, Field(gt=0), Allowed("a number above 0")]
NotNegative = number(0)
Share = Annotated[Number, Field(ge=0, lt=1), Allowed("a number of at least 0 and below 1")]
Fraction = Annotated[Number, Field(gt=0, lt=1), Allowed("a number above 0 and below 1")]
Switch = Annotated[bool, Allowed("true or false")]
Betas = Annotated[tuple[Share, Share], AsTuple, Allowed("two numbers of at least 0 and below 1")]  # of Adam
Text = Annotated[str, BeforeValidator(_text), Allowed("a name or a path")]
Name = Annotated[Text, Field(pattern="^[^/]+$"), Allowed("a plain name, without a slash")]


def checked(group: str) -> Callable[[Target], Target]:
    """Decorator of a class, or of its ``__init__``, that validates the arguments with their annotations.

    The decorated constructor raises `InputError` for an unknown, missing or wrong argument.

    Args:
        group: name of the group of options in error messages; the argument ``sigma`` of the group ``map`` is
            ``map.sigma``.
    """

    def decorate(target: Target) -> Target:
        if isinstance(target, type):
            target.__init__ = _validated(target.__init__, group)
            return target
        return _validated(target, group)

    return decorate


def check(option: str, value: Any, annotation: Any) -> None:
    """Validate one value.

    Args:
        option: name of the option in error messages.
        value: value to validate.
        annotation: annotation with the allowed values.

    Raises:
        InputError: the annotation does not allow the value.
    """
    try:
        TypeAdapter(annotation, config=STRICT).validate_python(value)
    except ValidationError as error:
        raise InputError(_wrong(option, value, annotation)) from error


def allowed(annotation: Any) -> str:
    """The values that an annotation allows, in words."""
    kind, parts = get_origin(annotation), get_args(annotation)
    if annotation in (None, type(None)):
        return "null"
    if kind is Annotated:
        return next((part.words for part in reversed(parts) if isinstance(part, Allowed)), allowed(parts[0]))
    if kind is Literal:
        return f"one of {', '.join(map(str, parts))}" if len(parts) > 1 else str(parts[0])
    if kind in (Union, types.UnionType):
        return ", or ".join(map(allowed, parts))
    return getattr(annotation, "__name__", str(annotation))


def _wrong(option: str, value: Any, annotation: Any) -> str:
    """The message for a value that the annotation does not allow, with the most similar words that it allows."""
    near = did_you_mean(value, _words(annotation)) if isinstance(value, str) else ""
    return f"{option}={typed(value)}: must be {allowed(annotation)}" + (f"; {near.strip()}" if near else "")


def _words(annotation: Any) -> list[str]:
    """All words that an annotation allows."""
    if get_origin(annotation) is Literal:
        return [part for part in get_args(annotation) if isinstance(part, str)]
    return [word for part in get_args(annotation) for word in _words(part)]


def typed(value: Any) -> str:
    """A value as a user types it on the command line, such as null for None."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{typed(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(typed, value)) + "]"
    return str(value)


def _validated(constructor: Callable[..., None], group: str) -> Callable[..., None]:
    validated, signature = validate_call(constructor, config=STRICT), inspect.signature(constructor)
    annotations = get_type_hints(constructor, include_extras=True)

    @functools.wraps(constructor)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            validated(self, *args, **kwargs)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = first["loc"][0]
            if first["type"] == "unexpected_keyword_argument":
                options = _options(type(self))
                choices = (
                    f"{did_you_mean(str(name), options)}use one of {', '.join(options)}" if options else "remove it"
                )
                raise InputError(f"{group}.{name}: no such option; {choices}") from error
            if first["type"].startswith("missing_"):  # "missing" without underscore is a missing item of a tuple
                raise InputError(f"{group}.{name}: not given; add {group}.{name}=...") from error
            given = signature.bind_partial(self, *args, **kwargs).arguments  # raises TypeError for too many arguments
            name = list(signature.parameters)[name] if isinstance(name, int) else name
            raise InputError(_wrong(f"{group}.{name}", given[name], annotations[name])) from error

    return construct


def _options(kind: type) -> list[str]:
    """Names of the options of a class, including options that its constructor passes to the base class as ``**``."""
    names: list[str] = []
    for constructor in (vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base)):
        _, *parameters = inspect.signature(constructor).parameters.values()
        names += [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return names
