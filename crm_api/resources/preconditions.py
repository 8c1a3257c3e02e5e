"""Headers that make requests safe: `If-Match` (RFC 9110, 13.1.1) for changes, `Idempotency-Key` for creations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from crm_api.domain.problems import InvalidFieldsError, ProblemError
from crm_api.services.idempotency import Repeatable

if TYPE_CHECKING:
    import falcon

    from crm_api.domain.inputs.base import Input
    from crm_api.services.kept import Expected

_ETAGS: Final = re.compile(r'\s*(?:"[\x21\x23-\x7e]*"\s*(?:,\s*"[\x21\x23-\x7e]*"\s*)*)\Z')
_ETAG: Final = re.compile(r'"[^"]*"')
IF_MATCH_PATTERN: Final = r'^(\*|"[!#-~]*"( *, *"[!#-~]*")*)$'
"""The same for the OpenAPI document."""
IDEMPOTENCY_KEY_PATTERN: Final = r"^[!-~]{1,200}$"


class PreconditionRequiredError(ProblemError):
    """A change that would overwrite what its sender may never have seen (RFC 6585, 3)."""

    kind = "precondition-required"


def expected_of(req: falcon.Request) -> Expected:
    """Return the ETags that the row may have now, None for any (`*`).

    Raises:
        PreconditionRequiredError: the header is missing.
        InvalidFieldsError: it is no list of ETags.
    """
    if req.get_header("If-Match") is None:
        raise PreconditionRequiredError(
            "Send If-Match with the ETag of what you have read, so that nobody's change is overwritten unseen; "
            "If-Match: * overwrites whatever is there"
        )
    return expected_or_anything(req)


def expected_or_anything(req: falcon.Request) -> Expected:
    """Return the ETags that the row may have now, None for any (`*`, or no header).

    Raises:
        InvalidFieldsError: it is no list of ETags.
    """
    header = req.get_header("If-Match")
    if header is None or header.strip() == "*":
        return None
    if _ETAGS.match(header) is None:
        raise InvalidFieldsError.one("If-Match", header[:200], 'an ETag as it was answered, such as "7-1", or *')
    return frozenset(_ETAG.findall(header))


def repeatable_of(req: falcon.Request, body: Input | bytes) -> Repeatable | None:
    """Return what makes this creation safe to repeat, None when the client has not asked for that.

    Args:
        req: its `Idempotency-Key`, method and address.
        body: as it was checked (equal however it was written), or the bytes of an upload.

    Raises:
        InvalidFieldsError: the key is too long, or no plain text.
    """
    key = req.get_header("Idempotency-Key")
    if key is None:
        return None
    if re.fullmatch(IDEMPOTENCY_KEY_PATTERN.strip("^$"), key) is None:
        raise InvalidFieldsError.one("Idempotency-Key", key[:200], "1 to 200 visible ASCII characters, such as a UUID")
    content = body if isinstance(body, bytes) else body.model_dump_json().encode()
    return Repeatable(key, f"{req.method} {req.relative_uri}\n".encode() + content)
