"""RFID keys and access codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import access_codes, keys
from crm_api.domain.outputs import fund as shown
from crm_api.resources.acts import Act, CsvFile
from crm_api.resources.declaration import CSV, ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *kept(
            "/v1/keys",
            tag="Keys and codes",
            plural="keys",
            service=services.keys,
            query=keys.KeyQuery,
            document=shown.KeyDocument,
            new=keys.NewKey,
            change=keys.KeyChange,
            readers=reads("keys"),
            writers=changes("keys"),
        ),
        Endpoint(
            "/v1/keys/export",
            "Keys and codes",
            CsvFile(services.keys.exported, keys.KeyExport, "keys"),
            (
                Operation(
                    "GET",
                    "Export keys",
                    reads("keys"),
                    (Answer(200, "A CSV file; an import takes it, too", media_types=(CSV,)),),
                    "`panel_id` chooses the keys that open at that panel now: bound to what it serves, enabled, not "
                    "stopped by a block.",
                    query=keys.KeyExport,
                    problems=frozenset({"not-found"}),
                ),
            ),
        ),
        *kept(
            "/v1/access-codes",
            tag="Keys and codes",
            plural="access codes",
            service=services.access_codes,
            query=access_codes.AccessCodeQuery,
            document=shown.AccessCodeDocument,
            new=access_codes.NewAccessCode,
            made=shown.AccessCodeInClear,
            readers=reads("codes"),
            writers=changes("codes"),
        ),
        Endpoint(
            f"/v1/access-codes/{ID}/reveal",
            "Keys and codes",
            Act(services.access_codes.revealed),
            (
                Operation(
                    "POST",
                    "Read the digits of an access code",
                    reads("codes"),
                    (Answer(200, "The code in clear", shown.AccessCodeInClear, headers=("ETag",)),),
                    "That somebody read it is written to the audit log.",
                ),
            ),
            id_key("access code"),
        ),
        Endpoint(
            f"/v1/access-codes/{ID}/end",
            "Keys and codes",
            Act(services.access_codes.end, access_codes.AccessCodeEnd),
            (
                Operation(
                    "POST",
                    "End an access code",
                    changes("codes"),
                    (Answer(200, "The code, ended", shown.AccessCodeDocument, headers=("ETag",)),),
                    body=access_codes.AccessCodeEnd,
                ),
            ),
            id_key("access code"),
        ),
    )
