"""RFID keys and access codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.access import changes, reads
from crm_api.domain.csv_table import line
from crm_api.domain.inputs import access_codes, keys
from crm_api.domain.outputs import fund as shown
from crm_api.resources.acts import Act, CsvFile
from crm_api.resources.declaration import CSV, ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import kept
from crm_api.services.keys import EXPORTED

if TYPE_CHECKING:
    from crm_api.bootstrap import Services

_EXPORT: Final = line(EXPORTED) + line(
    ("00C688AC", "apartment", "Lenina 1", 1, "12", None, None, "yes", "given to Anna Petrova", "hex", "high_first")
)


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
            removal=(
                "No panel is told: where the key is loaded it opens until the panel is loaded anew "
                "(`/v1/keys/export`). Access records of it stay, without it."
            ),
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
                    (Answer(200, "A CSV file; an import takes it, too", media_types=(CSV,), example=_EXPORT),),
                    "`panel_id` chooses the keys that open at that panel now: bound to what it serves, enabled, of no "
                    "apartment under a block that stops keys. No panel is told of keys by itself: this file is loaded "
                    "into it with its maker's own tools, again after each change of keys or blocks. The columns "
                    "`notation` and `byte_order` tell an import how the numbers are written; `wiegand` has the lower "
                    "three bytes of a longer key alone, and is no copy of it.",
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
            removal=(
                "It opens no more, and panels that keep codes are told to forget it; until they have, "
                "`/v1/panel-codes` shows it without an `access_code_id`. To keep it on record end it instead "
                "(`.../end`)."
            ),
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
                    "It opens no more: at once where codes are typed through the call path, and on panels that "
                    "keep codes as soon as they have been told. It stays on record for 90 days; one that has ended "
                    "already stays as it is.",
                    body=access_codes.AccessCodeEnd,
                ),
            ),
            id_key("access code"),
        ),
    )
