"""Who may call what: bearer tokens checked before any resource runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_api.domain.problems import ForbiddenError
from crm_api.resources.declaration import Served

if TYPE_CHECKING:
    import falcon

    from crm_api.services.context import Tenant
    from crm_api.services.tokens import Principal, Tokens


class Authentication:
    """Middleware: looks at what the operation declares, and leaves operation and tenant in the request's context."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, resource: Any, _params: dict[str, Any]
    ) -> None:
        """Refuse who may not."""
        operation = resource.operations.get(req.method) if isinstance(resource, Served) else None
        if operation is None:
            return  # OPTIONS, or a method that is answered with 405
        req.context.operation = operation
        if operation.allowed is None:
            return
        principal = self._tokens.principal(req.get_header("Authorization"))
        if principal.role not in operation.allowed:
            may = ", ".join(sorted(operation.allowed))
            raise ForbiddenError(f"The role {principal.role} may not {req.method} {req.path}; this may: {may}")
        req.context.principal = principal
        looks = req.method == "GET" or operation.of_oneself
        req.context.tenant = principal.tenant if looks else principal.changing()


def tenant_of(req: falcon.Request) -> Tenant:
    """Return whose rows this request may see."""
    tenant: Tenant = req.context.tenant
    return tenant


def principal_of(req: falcon.Request) -> Principal:
    """Return who asks."""
    principal: Principal = req.context.principal
    return principal
