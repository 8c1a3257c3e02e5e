"""`python -m crm_api.openapi`: prints the OpenAPI document, without configuration and database."""

from __future__ import annotations

import json
import sys
import tempfile

from cryptography.fernet import Fernet

from crm_api.adapters.encryption import Encryption
from crm_api.adapters.plan_cache import PlanCache
from crm_api.app import declared
from crm_api.bootstrap import make_services
from crm_api.resources.openapi import openapi_document
from crm_api.services.context import Context
from crm_api.tables.database import CrmDatabase


def document_text() -> str:
    """Return the document as it is kept in docs/openapi.json."""
    with tempfile.TemporaryDirectory() as directory:
        database = CrmDatabase(f"sqlite:///{directory}/never-read.db")
        context = Context(database, "example.test", Encryption(Fernet.generate_key()))
        endpoints = declared(make_services(context), database, PlanCache("redis://127.0.0.1:1/0"))
    return json.dumps(openapi_document(endpoints), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Print it."""
    sys.stdout.write(document_text())


if __name__ == "__main__":
    main()
