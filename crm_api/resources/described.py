"""Descriptions of the fields that say nothing of themselves, from the vocabulary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from crm_api.resources.emergency_words import OF_EMERGENCY
from crm_api.resources.field_words import WORDS
from crm_api.resources.noun_words import OF_NOUN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_Schema = dict[str, Any]

OF_EVERY_NOUN: Final = OF_NOUN | OF_EMERGENCY
"""By `Noun.field`."""
_FORM: Final = re.compile(r"^New|(?:Document|Change|Query|WithPassword|WithSecret|WithBranches|InClear)$")
_NULL: Final = {"type": "null"}
_OF_PAGES: Final = frozenset({"cursor"})
"""What may be left out of a query and is no filter."""


def noun_of(model: str) -> str:
    """Return what a model is about: `Panel` of `NewPanel`, `PanelChange`, `PanelDocument` and `PanelQuery`."""
    while (shorter := _FORM.sub("", model)) != model:
        model = shorter
    return model


def describe(components: dict[str, _Schema], queries: Collection[str] = ()) -> None:
    """Describe every field of the schemas that the vocabulary knows and that has no description of its own.

    Args:
        components: schemas by the name of their model; changed in place.
        queries: names of those that are queries: a field that may be left out of them is a filter.
    """
    for model, field, schema in _fields(components):
        if "description" in schema:
            continue
        of_kinds = [kind.pop("description") for kind in schema.get("anyOf", ()) if "description" in kind]
        if of_kinds:  # `Annotated[int, Field(description=...)] | None`: what is said of the number is said of the field
            schema["description"] = of_kinds[0]
            continue
        word = word_of(model, field)
        if word is not None:
            is_filter = model in queries and field not in _OF_PAGES and _NULL in schema.get("anyOf", ())
            schema["description"] = filter_by(word) if is_filter else word


def word_of(model: str, field: str) -> str | None:
    """Return the sentence about a field of a model; None when the vocabulary has none."""
    return OF_EVERY_NOUN.get(f"{noun_of(model)}.{field}", WORDS.get(field))


def filter_by(word: str) -> str:
    """Return what is said of a filter: rows with nothing there are never asked for."""
    return f"filter: {word.partition('; null')[0]}"


def _fields(components: dict[str, _Schema]) -> Iterator[tuple[str, str, _Schema]]:
    for model, schema in components.items():
        for field, described in schema.get("properties", {}).items():
            yield model, field, described
