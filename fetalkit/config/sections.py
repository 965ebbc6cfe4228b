"""What all sections of ``params.yaml`` share: strictness, and the types of common values."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Steps = Annotated[int, Field(ge=1, le=10_000_000)]
Rate = Annotated[float, Field(gt=0, lt=1)]


def unique(values: list) -> list:
    """`values`, or ValueError if one stands there twice."""
    if len(set(values)) != len(values):
        raise ValueError("names something twice")
    return values


class Section(BaseModel):
    """A section of ``params.yaml``: a missing or an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
