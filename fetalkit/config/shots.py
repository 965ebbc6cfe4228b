"""Numbers of labelled images per plane (k) that a study trains with."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, GetCoreSchemaHandler, PlainSerializer, Tag, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from fetalkit.config.sections import Steps

EVERY = "all"


class Shots(tuple[str, ...]):
    """Values of k as text, ascending, ``"all"`` last, whatever the order in ``params.yaml``.

    They are text because they are names: of subsets, files and rows of tables.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(cls)

    @classmethod
    def of(cls, values: Sequence[int | str]) -> "Shots":
        """From numbers and ``"all"``; ValueError if one stands there twice."""
        if len(set(map(str, values))) != len(values):
            raise ValueError("names something twice")
        return cls(sorted(map(str, values), key=rank))

    @property
    def largest(self) -> str:
        """The k with the most images: ``"all"`` where that is among them."""
        return self[-1]

    @property
    def smallest(self) -> str:
        """The k with the fewest images."""
        return self[0]

    @property
    def ends(self) -> list[str]:
        """The smallest and the largest k; one value where they are the same."""
        return list(dict.fromkeys([self.smallest, self.largest]))

    def upto(self, most: int) -> list[str]:
        """Those of at most `most` images per plane."""
        return [k for k in self if k != EVERY and int(k) <= most]


def rank(k: int | str) -> tuple[bool, int]:
    """Key that sorts values of k: numbers first, ascending."""
    return (True, 0) if str(k) == EVERY else (False, int(k))


ShotsField = Annotated[
    Shots,
    BeforeValidator(lambda values: Shots.of(_VALUES.validate_python(values))),
    PlainSerializer(list),
]


def _named(steps: dict[Any, Any]) -> dict[Any, Any]:
    """Steps by k whose keys are text: DVC puts keys in order, which it cannot do with numbers beside ``all``."""
    if numbers := [str(k) for k in steps if not isinstance(k, str)]:
        raise ValueError(f'k = {", ".join(numbers)}: put every k in quotes, as in {{"{numbers[0]}": 500, "all": 1500}}')
    return steps


_ByShots = Annotated[dict[str, Steps], BeforeValidator(_named), Field(min_length=1)]
# Steps at every k alike, or by k. The tags are in brackets, which messages to the user leave out.
StepsOfShots = Annotated[
    Annotated[Steps, Tag("(one)")] | Annotated[_ByShots, Tag("(by k)")],
    Discriminator(lambda value: "(by k)" if isinstance(value, dict) else "(one)"),
]
_VALUES = TypeAdapter(Annotated[list[Annotated[int, Field(ge=1)] | Literal["all"]], Field(min_length=1)])
