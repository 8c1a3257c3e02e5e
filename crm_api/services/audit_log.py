"""Reading the audit log. Nothing here changes it, and the database refuses to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from crm_api.services.kept import Document, Listed
from crm_api.tables.people import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Sequence


class AuditLog(Listed[AuditEntry]):
    """Entries of the companies that the tenant may see; those of no company are the platform's."""

    noun = "entry of the audit log"
    model = AuditEntry
    filters = {  # noqa: RUF012 - ClassVar in the base
        "from_ms": lambda moment: AuditEntry.at_ms >= moment,
        "until_ms": lambda moment: AuditEntry.at_ms < moment,
    }

    def documents(self, rows: Sequence[AuditEntry]) -> list[Document]:
        """Show entries with their states."""
        documents = []
        for row in rows:
            document = dict(row.__data__)
            for name in ("before", "after"):
                state = document.pop(f"state_{name}")
                document[name] = None if state is None else json.loads(state)
            documents.append(document)
        return documents
