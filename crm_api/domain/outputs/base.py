"""What all answers have in common."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from crm_api.domain.inputs.base import MAX_ID

RowId = Annotated[int, Field(ge=1, le=MAX_ID)]
Moment = Annotated[int, Field(ge=0)]
"""Epoch milliseconds."""
Version = Annotated[int, Field(ge=1, description="counts the changes of this document; part of its ETag")]


class Output(BaseModel):
    """Base: every field is always there, and no other. `EXAMPLE` is shown in the OpenAPI document."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    EXAMPLE: ClassVar[dict[str, Any]]


class FieldProblemOutput(Output):
    """One wrong field."""

    field: Annotated[str, Field(description="its path in the body or query, such as `stages.0.ring_timeout_s`")]
    value: Annotated[Any, Field(description="what was sent; secrets are not repeated")]
    remedy: Annotated[str, Field(description="what would be right")]


class Problem(Output):
    """What is wrong with a request (RFC 9457)."""

    type: Annotated[str, Field(pattern="^urn:entryphone:problem:[a-z-]+$", description="stable name of the problem")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    errors: Annotated[
        list[FieldProblemOutput],
        Field(default_factory=list, description="every wrong field at once", json_schema_extra={"default": []}),
    ]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "type": "urn:entryphone:problem:invalid-fields",
        "title": "Fields are wrong",
        "status": 422,
        "detail": "1 wrong: name",
        "errors": [{"field": "name", "value": "", "remedy": "String should have at least 1 character"}],
    }
