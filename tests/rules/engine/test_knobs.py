"""Descriptions of knobs come from the docstrings below them, when somebody asks."""

from pydantic import BaseModel, Field

from tracker.rules.engine.knobs import described


class Base(BaseModel):
    limit: float = 1.0
    """How far it may go, in units
    of the trade."""
    quiet: bool = False


class Derived(Base):
    """A model with a docstring of its own."""

    limit: float = 2.0
    patience: int = 3
    """Times in a row."""
    given: int = Field(4, description="given, and it stays")
    """Not this."""


def test_the_docstring_below_a_field_is_its_description():
    fields = described(Derived).model_fields

    assert fields["limit"].description == "How far it may go, in units\nof the trade."
    assert fields["patience"].description == "Times in a row."
    assert fields["given"].description == "given, and it stays"
    assert fields["quiet"].description is None


def test_the_schema_has_the_descriptions():
    properties = described(Derived).model_json_schema()["properties"]

    assert properties["patience"]["description"] == "Times in a row."
    assert properties["limit"]["default"] == 2.0


def test_a_model_without_source_is_left_without_descriptions():
    made = type("Made", (BaseModel,), {"__annotations__": {"n": int}, "n": 1, "__module__": __name__})

    assert described(made).model_fields["n"].description is None
    assert made(n=2).n == 2
