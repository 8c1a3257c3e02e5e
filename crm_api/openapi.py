"""`python -m crm_api.openapi`: prints the OpenAPI document, without configuration and database."""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any, Final

from cryptography.fernet import Fernet

from crm_api.adapters.encryption import Encryption
from crm_api.adapters.plan_cache import PlanCache
from crm_api.app import declared
from crm_api.bootstrap import make_services
from crm_api.resources.openapi import openapi_document
from crm_api.services.context import Context
from crm_api.tables.database import CrmDatabase

SPREAD_LEVELS: Final = 3
"""An operation of a path, or a schema of the components, is one line."""


def document_text() -> str:
    """Return the document as it is kept in docs/openapi.json."""
    with tempfile.TemporaryDirectory() as directory:
        database = CrmDatabase(f"sqlite:///{directory}/never-read.db")
        context = Context(database, "example.test", Encryption(Fernet.generate_key()))
        endpoints = declared(make_services(context), database, PlanCache("redis://127.0.0.1:1/0"))
    return _spread(openapi_document(endpoints), SPREAD_LEVELS) + "\n"


def _spread(value: Any, levels: int, indent: str = "") -> str:
    """Return JSON with a line of its own for each member of the outer levels, so that a diff names what was changed."""
    if not levels or not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    deeper = f"{indent} "
    members = (f"{deeper}{json.dumps(name)}: {_spread(part, levels - 1, deeper)}" for name, part in value.items())
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


def main() -> None:
    """Print it."""
    sys.stdout.write(document_text())


if __name__ == "__main__":
    main()
