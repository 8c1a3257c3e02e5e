"""Bodies in, documents and problems (RFC 9457) out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

import falcon
import msgspec
import structlog
from pydantic import ValidationError

from crm_api.domain.inputs.base import Input
from crm_api.domain.problems import FieldProblem, InvalidFieldsError, ProblemError
from crm_api.incoming import SHORT_BODY
from crm_api.resources.broken_rules import broken
from crm_api.resources.declaration import is_public, operation_of
from crm_api.resources.remedies import remedy_of
from crm_api.tables.database import DatabaseErrors, ValueErrors, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

    from crm_api.tables.database import CrmDatabase

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_ECHO: Final = 200
MAX_EXACT: Final = 2**53
"""Below it a float of IEEE 754 names one integer only."""
SECRET_FIELDS: Final = frozenset({"password", "current", "credentials", "token", "webhook_secret"})
PROBLEM_JSON: Final = "application/problem+json"

STATUS: Final = {
    "invalid-fields": (422, "Fields are wrong"),
    "wrong-cursor": (422, "The cursor belongs to another query"),
    "idempotency-key-reused": (422, "The Idempotency-Key belongs to another request"),
    "stale": (412, "Changed by somebody else"),
    "precondition-required": (428, "If-Match is needed"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Not done here"),
    "conflict": (409, "Contradicts what is kept"),
    "forbidden": (403, "This token may not do this"),
    "unauthorised": (401, "A token is needed"),
    "too-many-logins": (429, "Too many wrong logins"),
    "too-large": (413, "The body is too large"),
    "length-required": (411, "Content-Length is needed"),
    "broken-off": (408, "The body broke off"),
    "elsewhere": (502, "Another service did not do it"),
    "registrar-silent": (503, "Nobody can tell who is registered"),
    "unavailable": (503, "Not available just now"),
    "internal": (500, "A fault of ours"),
}

_log = structlog.get_logger("crm_api")
_encoder = msgspec.json.Encoder(enc_hook=str)
Body = TypeVar("Body", bound=Input)


def send(resp: falcon.Response, document: Any, status: int = 200, etag: str | None = None) -> None:
    """Answer with a JSON document."""
    resp.status = status
    if etag is not None:
        resp.set_header("ETag", etag)
    resp.content_type = falcon.MEDIA_JSON
    resp.data = _encoder.encode(document)


def send_problem(
    resp: falcon.Response, kind: str, detail: str, fields: tuple[FieldProblem, ...] = (), status: int | None = None
) -> None:
    """Answer with a problem document; `errors` names every wrong field with its value and remedy."""
    known_status, title = STATUS.get(kind, (status or 500, kind))
    document: dict[str, Any] = {
        "type": f"urn:entryphone:problem:{kind}",
        "title": title,
        "status": status or known_status,
        "detail": _writable(detail),
    }
    if fields:
        document["errors"] = [
            {"field": _writable(f.field), "value": _writable(f.value), "remedy": _writable(f.remedy)} for f in fields
        ]
    send(resp, document, document["status"])
    resp.content_type = PROBLEM_JSON


def _writable(value: Any) -> Any:
    """Return a text without halves of surrogate pairs: JSON can send one, and nothing can answer with it."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def body_of(req: falcon.Request, model: type[Body]) -> Body:
    """Return the checked body, or raise `InvalidFieldsError` naming everything that is wrong with it."""
    _must_be_declared(req, "body", model)
    document = parsed(content_of(req, MAX_BODY_BYTES, "send less at once"))
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _invalid(error, document, model) from None


def content_of(req: falcon.Request, most_bytes: int, remedy: str) -> bytes:
    """Return the body as it was sent, all of it.

    Whoever needs no token is never waited for: his body is short, and has come before a thread looked at it.

    Raises:
        LengthRequiredError: nobody without a token sends a body of any length.
        TooLargeError: longer than this; what to do then is told.
        BrokenOffError: a part of a file must never be taken for the whole.
    """
    length = req.content_length
    is_chunked = length is None and "chunked" in (req.get_header("Transfer-Encoding") or "").lower()
    if is_public(req):
        most_bytes = min(most_bytes, SHORT_BODY)
        if is_chunked:
            raise LengthRequiredError("Send the body as a whole, with Content-Length")
        if (length or 0) > most_bytes:
            raise _too_large(most_bytes, remedy)
    try:
        raw: bytes = (req.stream if is_chunked else req.bounded_stream).read(most_bytes + 1)
    except OSError as error:
        raise BrokenOffError(error.strerror or str(error)) from None
    except Exception as error:
        if is_chunked:  # the server says in its own ways that pieces are none, or missing
            raise BrokenOffError(f"in the middle of a chunk ({type(error).__name__})") from None
        raise
    if len(raw) > most_bytes:
        raise _too_large(most_bytes, remedy)
    if len(raw) < (length or 0):
        raise BrokenOffError(f"{len(raw)} bytes came, Content-Length says {length}")
    return raw


def parsed(raw: bytes) -> Any:
    """Return what a JSON text says; raise `InvalidFieldsError` when it is none."""
    try:
        return json.loads(raw, parse_float=_number, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        told = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidFieldsError.one("body", None, f"no JSON (RFC 8259): {told}") from None


def _number(text: str) -> float | int:
    """Return 12.0 and 1.2e1 as 12: to JSON Schema they are the same integer."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < MAX_EXACT else number


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def query_of(req: falcon.Request, model: type[Body]) -> Body:
    """Return the checked query parameters."""
    _must_be_declared(req, "query", model)
    try:
        return model.model_validate(req.params)
    except ValidationError as error:
        raise _invalid(error, req.params, model) from None


def _must_be_declared(req: falcon.Request, what: str, model: type[Input]) -> None:
    """Make sure that what is read is what the OpenAPI document tells."""
    declared = getattr(operation_of(req), what)
    if declared is not model:
        raise TypeError(f"{req.method} {req.uri_template}: {what} {model.__name__} is read, {declared} is declared")


class TooLargeError(ProblemError):
    """More than is read from anybody."""

    kind = "too-large"


def _too_large(most_bytes: int, remedy: str) -> TooLargeError:
    return TooLargeError(f"The body is longer than {most_bytes} bytes: {remedy}")


class LengthRequiredError(ProblemError):
    """A body in chunks from somebody who has shown no token."""

    kind = "length-required"


class BrokenOffError(ProblemError):
    """Not all of the body has come."""

    kind = "broken-off"

    def __init__(self, how: str) -> None:
        super().__init__(f"The body broke off, {how}: send it again, as a whole")


def _invalid(error: ValidationError, document: Any, model: type[Input]) -> InvalidFieldsError:
    errors = error.errors(include_url=False)
    return InvalidFieldsError.of(_field(e, document) for e in (*errors, *broken(model, document, errors)))


def _path(error: ErrorDetails, document: Any) -> str:
    """Return the wrong field's place. pydantic names the kinds of a union in it, too, which are no fields."""
    steps: list[str] = []
    part = document
    for number, step in enumerate(error["loc"], 1):
        there = isinstance(part, list) if isinstance(step, int) else isinstance(part, dict) and step in part
        if there:
            part = part[step]
        if there or (number == len(error["loc"]) and error["type"] == "missing"):
            steps.append(str(step))
    return ".".join(steps) or "body"


def _field(error: ErrorDetails, document: Any) -> FieldProblem:
    path = _path(error, document)
    value: object = None if error["type"] == "missing" else error["input"]
    if SECRET_FIELDS & set(path.split(".")):
        value = "(not shown)"
    elif isinstance(value, str):
        value = value[:MAX_ECHO]
    elif not isinstance(value, (int, float, bool, type(None))):
        value = str(value)[:MAX_ECHO] if not isinstance(value, dict) else "(object)"
    return FieldProblem(path, value, remedy_of(error))


def _headers_of(error: ProblemError) -> dict[str, str]:
    if error.kind == "unauthorised":
        return {"WWW-Authenticate": 'Bearer realm="entryphone"'}
    wait_s: int | None = getattr(error, "wait_s", None)
    return {} if wait_s is None else {"Retry-After": str(wait_s)}


def _told(error: falcon.HTTPError, req: falcon.Request, resp: falcon.Response) -> str:
    if isinstance(error, falcon.HTTPRouteNotFound):
        return f"There is nothing at {req.path[:MAX_ECHO]}: /v1/openapi.json lists every address"
    if isinstance(error, falcon.HTTPMethodNotAllowed):
        return f"{req.path[:MAX_ECHO]} takes {resp.get_header('Allow')}, not {req.method}"
    return error.description or error.title or ""


def install_error_handlers(app: falcon.App[Any, Any], database: CrmDatabase) -> None:
    """Turn every exception into a problem document; log once what is our fault."""

    def problem(_req: falcon.Request, resp: falcon.Response, error: ProblemError, _params: dict[str, Any]) -> None:
        send_problem(resp, error.kind, error.detail, error.fields)
        resp.set_headers(_headers_of(error))

    def bad_value(_req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]) -> None:
        send_problem(resp, "invalid-fields", f"The database does not take a value: {str(error).splitlines()[0]}")

    def away(req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]) -> None:
        reason = reason_of(error)
        if any(word in reason for word in ("syntax error", "no such", "does not exist")):
            fault(req, resp, error, _params)  # SQLite and PostgreSQL call our own mistakes operational, too
            return
        database.forget_connection()
        _log.error("database away", path=req.path, reason=reason)
        send_problem(resp, "unavailable", "The database did not answer; try again shortly")
        resp.set_header("Retry-After", "1")

    def http(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _params: dict[str, Any]) -> None:
        status = error.status_code
        for name, value in (error.headers or {}).items():  # type: ignore[union-attr]
            resp.set_header(name, value)
        send_problem(resp, _slug(error.status), _told(error, req, resp), status=status)

    def fault(req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]) -> None:
        _log.error("fault", method=req.method, path=req.path, exc_info=error)
        send_problem(resp, "internal", "It is logged; tell us the time of your request")

    handlers: tuple[tuple[Any, Callable[..., None]], ...] = (
        (Exception, fault),
        (falcon.HTTPError, http),
        (DatabaseErrors, away),
        (ValueErrors, bad_value),
        (ProblemError, problem),
    )
    for exceptions, handler in handlers:
        app.add_error_handler(exceptions, handler)


def _slug(status: str | int | Any) -> str:
    return str(status).partition(" ")[2].lower().replace(" ", "-") or "http"
