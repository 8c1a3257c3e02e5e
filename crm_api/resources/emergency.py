"""What is asked about emergency calls over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from crm_api.domain.inputs import emergency as asked
from crm_api.resources.authentication import tenant_of
from crm_api.resources.preconditions import expected_of
from crm_api.resources.rendering import MAX_BODY_BYTES, body_of, content_of, query_of, send

if TYPE_CHECKING:
    from collections.abc import Callable

    import falcon

    from crm_api.services.city_numbers import CityNumbers
    from crm_api.services.context import Tenant
    from crm_api.services.emergency_calls import EmergencyPath
    from crm_api.services.emergency_centres import EmergencyRules
    from crm_api.services.emergency_checks import EmergencyChecks
    from crm_api.services.emergency_tests import EmergencyTests
    from crm_api.services.kept import Document


class NumberSource(Protocol):
    """Another service that has phone numbers (`adapters.twilio_numbers`)."""

    def numbers(self, account_sid: str, token: str) -> list[str]:
        """Return the numbers of an account, in E.164."""


class Shown:
    """`GET` of one document."""

    def __init__(self, show: Callable[[Tenant], Document]) -> None:
        self._show = show

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show."""
        send(resp, self._show(tenant_of(req)))


class NumberUpload:
    """`POST /v1/cities/{id}/numbers`: a CSV file in the body."""

    def __init__(self, numbers: CityNumbers) -> None:
        self._numbers = numbers

    def on_post(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Load."""
        query = query_of(req, asked.NumberUploadQuery)
        content = content_of(req, MAX_BODY_BYTES, "cut the file into several")
        send(resp, self._numbers.upload(tenant_of(req), key, content, dry_run=query.dry_run))


class TwilioImport:
    """`POST /v1/cities/{id}/twilio-numbers`."""

    def __init__(self, numbers: CityNumbers, source: NumberSource) -> None:
        self._numbers = numbers
        self._source = source

    def on_post(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Load."""
        wish = body_of(req, asked.TwilioNumbers)
        tenant = tenant_of(req)
        found = self._numbers.allowed(tenant, key) and self._source.numbers(wish.account_sid, wish.token)
        send(resp, self._numbers.take_numbers(tenant, key, found or [], wish.trunk, dry_run=wish.dry_run))


class Rules:
    """`/v1/companies/{id}/emergency-rules`."""

    def __init__(self, rules: EmergencyRules) -> None:
        self._rules = rules

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Show."""
        document = self._rules.got(tenant_of(req), key)
        send(resp, document, 200, self._rules.etag(key))

    def on_put(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Set."""
        expected = expected_of(req)
        document = self._rules.put(tenant_of(req), key, body_of(req, asked.NewEmergencyRules), expected)
        send(resp, document, 200, self._rules.etag(key))


class Checks:
    """`POST /v1/emergency-checks`."""

    def __init__(self, checks: EmergencyChecks) -> None:
        self._checks = checks

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Check every panel."""
        send(resp, self._checks.now(tenant_of(req)))


class TestCalls:
    """`POST /v1/emergency-test-calls`."""

    def __init__(self, tests: EmergencyTests) -> None:
        self._tests = tests

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Ask for one; it is placed within a second."""
        document = self._tests.ask(tenant_of(req), body_of(req, asked.NewTestCall))
        resp.location = f"/v1/emergency-calls/{document['id']}"
        send(resp, document, 202)


class Leases:
    """`POST /v1/emergency-leases`."""

    def __init__(self, path: EmergencyPath) -> None:
        self._path = path

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Take a number."""
        send(resp, self._path.lease(body_of(req, asked.WantedLease)))


class CallBacks:
    """`POST /v1/emergency-call-backs`."""

    def __init__(self, path: EmergencyPath) -> None:
        self._path = path

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Tell who is called back."""
        send(resp, self._path.call_back(body_of(req, asked.CallBack)))
