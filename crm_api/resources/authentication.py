"""Who may call what: bearer tokens checked before any resource runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.problems import ForbiddenError

if TYPE_CHECKING:
    import falcon

    from crm_api.services.context import Tenant
    from crm_api.services.tokens import Tokens

PEOPLE: Final = frozenset({"platform", "operator"})
CALLS: Final = frozenset({"platform", "operator", "service"})
SERVICE: Final = frozenset({"service"})


class Authentication:
    """Middleware. A resource names the kinds of token it takes in `allowed`; None means no token is needed."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, resource: Any, _params: dict[str, Any]
    ) -> None:
        """Refuse, or leave the tenant in the request's context."""
        allowed: frozenset[str] | None = resource.allowed
        if allowed is None:
            return
        principal = self._tokens.principal(req.get_header("Authorization"))
        if principal.reach not in allowed:
            raise ForbiddenError(f"A {principal.reach} token may not use {req.path}")
        req.context.tenant = principal.tenant


def tenant_of(req: falcon.Request) -> Tenant:
    """Return whose rows this request may see."""
    tenant: Tenant = req.context.tenant
    return tenant
