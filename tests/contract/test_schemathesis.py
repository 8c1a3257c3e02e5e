"""schemathesis tries every operation with what the OpenAPI document allows and with what it forbids.

Deterministic and short by itself; ENTRYPHONE_SCHEMATHESIS_EXAMPLES=200 tries longer (`make fuzz`).
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import falcon.testing
import pytest
import schemathesis
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, settings
from pydantic import ValidationError
from schemathesis.config import SchemathesisConfig

from crm_api.adapters.encryption import Encryption
from crm_api.app import create_app, declared
from crm_api.bootstrap import make_services
from crm_api.migrations import migrate
from crm_api.openapi import document_text
from crm_api.resources.rendering import parsed
from crm_api.services.context import Context
from tests.unit.crm.conftest import REALM, Api, Clock, empty_database
from tests.unit.crm.fakes import FakeCache, FakePanelDriver, FakeRegistrar
from tests.unit.crm.furnished import make_one_of_each
from tests.unit.crm.tenancy_table import Own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLES = int(os.environ.get("ENTRYPHONE_SCHEMATHESIS_EXAMPLES", "4"))
RULE = "value_error"
"""pydantic's type of the errors that our own validators raise: rules that JSON Schema cannot tell."""


schemathesis.serializer.alias("audio/wav", "text/plain")
"""No sound is made: whatever is sent as one must be taken or refused, too."""


class Application:
    """The application of this module's database, once there is one."""

    def __init__(self) -> None:
        self.app: Callable[..., Any] | None = None
        self.token = ""
        self.service_token = ""
        self.operations: dict[tuple[str, str], Any] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        assert self.app is not None
        return self.app(environ, start_response)


APPLICATION = Application()
schema = schemathesis.openapi.from_dict(
    json.loads(document_text()),
    config=SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "generation": {"deterministic": True, "with-security-parameters": False},
            "checks": {
                # 502: another service (Twilio) cannot be reached from here
                "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "502"]},
                # 412: an ETag of another state; 422: a rule of ours, see `the_schema_tells_what_is_taken`
                "positive_data_acceptance": {
                    "expected-statuses": ["2xx", "401", "403", "404", "409", "412", "422", "429", "502"]
                },
                "missing_required_header": {"expected-statuses": ["401", "422", "428"]},
            },
        }
    ),
)
schema.app = APPLICATION


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    for database in empty_database(tmp_path_factory.mktemp("schemathesis")):
        migrate(database)
        driver = FakePanelDriver()
        context = Context(database, REALM, Encryption(Fernet.generate_key()), Clock())
        services = make_services(context, {"beward": driver, "generic": driver}, registrar=FakeRegistrar())
        cache: Any = FakeCache()
        app = create_app(services, database, cache)
        APPLICATION.app = app
        APPLICATION.token = services.tokens.create("schemathesis", "platform")
        APPLICATION.service_token = services.tokens.create("calls", "service")
        APPLICATION.operations = {
            (endpoint.plain_path, operation.method): operation
            for endpoint in declared(services, database, cache)
            for operation in endpoint.operations
        }
        furnish(Api(falcon.testing.TestClient(app), APPLICATION.token))
        yield APPLICATION
        APPLICATION.app = None


def furnish(platform: Api) -> None:
    """Make one of each, so that an id found by chance is often there."""
    platform("POST", "/v1/cities", {"name": "Riverside"})
    own = Own("some", platform("POST", "/v1/companies", {"name": "Homes"})["id"], platform)
    make_one_of_each(own)


def the_schema_tells_what_is_taken(_context: Any, response: Any, case: Any) -> None:
    """What fits the schema may break a rule, never the types, lengths and patterns of the model itself."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    operation = APPLICATION.operations[case.path, case.method.upper()]
    if operation.body is not None:
        untold(operation.body, parsed(json.dumps(case.body).encode()))
    if operation.query is not None:
        untold(operation.query, dict(case.query or {}))


def untold(model: Any, value: Any) -> None:
    try:
        model.model_validate(value)
    except ValidationError as error:
        wrong = [e for e in error.errors(include_url=False) if e["type"] != RULE]
        assert not wrong, f"the schema does not tell what {model.__name__} refuses: {wrong}"


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_nothing_is_found(case: Any, application: Application) -> None:
    operation = application.operations.get((case.path, case.method.upper()))  # None: a method that nobody declared
    calls_only = operation is not None and operation.allowed is not None and "admin" not in operation.allowed
    token = application.service_token if calls_only else application.token
    case.call_and_validate(
        headers={"Authorization": f"Bearer {token}"}, additional_checks=[the_schema_tells_what_is_taken]
    )
