"""What is said of the operations that every noun has, made from what they really do (`crm_api/resources/kept.py`)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from crm_api.domain.inputs.base import PageQuery

if TYPE_CHECKING:
    from crm_api.domain.inputs.base import Input
    from crm_api.domain.outputs.base import Output


def of_list(query: type[PageQuery]) -> str:
    """Tell what a list is ordered by, and what narrows it."""
    default, others = sort_columns(query)
    order = f"sorted by `{default}`; `sort` takes {_listed(others)}, too."
    filters = [name for name in query.model_fields if name not in PageQuery.model_fields]
    narrowed = f" Filters: {_listed(filters)}; rows that meet all of them are shown." if filters else ""
    return f"{_doc(query)}\n\nIn pages of `limit` rows, {order} `next` is the `cursor` of the next page.{narrowed}"


def of_making(noun: str, new: type[Input]) -> str:
    """Tell what a body makes, and what a repetition does."""
    return (
        f"{_doc(new)}\n\nWith an `Idempotency-Key` the same request, sent again, is given the same answer and makes no "
        f"second {noun}. 409: a value that must be unique is taken; `detail` says which."
    )


def of_reading(document: type[Output], *, may_change: bool) -> str:
    """Tell what is shown, and what its ETag is good for."""
    etag = " Its `ETag` goes into the `If-Match` of a change." if may_change else ""
    return f"{_doc(document)}{etag} What the token may not see does not exist for it (404)."


def of_changing(change: type[Input]) -> str:
    """Tell what may change, and what a change must know."""
    return (
        f"{_doc(change)} Fields that are left out stay as they are; lists are replaced whole.\n\n`If-Match` has the "
        "`ETag` of what was read, or `*`: when somebody else has changed it since, nothing is done (412)."
    )


def of_removing(removal: str) -> str:
    """Tell what becomes of what is removed and of what refers to it."""
    return f"{removal}\n\nWith an `If-Match`, what has another state by now is not removed (412)."


def sort_columns(query: type[PageQuery]) -> tuple[str, list[str]]:
    """Return what a list is ordered by when nothing is said, and the other orders that it has."""
    field = query.model_fields["sort"]
    default = str(field.default)
    orders = get_args(field.annotation) if get_origin(field.annotation) is Literal else ("id", "-id")
    return default, [order for order in orders if order != default]


def _doc(model: type[Input | Output]) -> str:
    return inspect.cleandoc(model.__doc__ or "").replace("\n\n", "\n").replace("\n", " ")


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
