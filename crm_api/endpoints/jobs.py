"""Imports from CSV, and the jobs that do them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import imports as asked
from crm_api.domain.outputs.jobs import JobDocument
from crm_api.resources.declaration import CSV, ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.imports import Import
from crm_api.resources.kept import Item, listed
from crm_api.services.importing.importer import MOST_IN_RANGES, MOST_ROWS
from crm_api.services.importing.residents import MOST_PHONES_OF_A_FILE
from crm_api.services.imports import IMPORTERS, MOST_LINES

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.domain.access import Area
    from crm_api.services.imports import ImportKind

TAG: Final = "Imports and jobs"
KINDS: Final[tuple[tuple[ImportKind, type[asked.ImportQuery], Area, str], ...]] = (
    ("houses", asked.ImportQuery, "places", "address;entrances;city\nLenina 1;1-4;Riverside\n"),
    ("apartments", asked.ApartmentImportQuery, "places", "address;entrance;apartment;floor\nLenina 1;1;1-4;1\n"),
    (
        "residents",
        asked.ImportQuery,
        "people",
        "name;address;apartment;phones\nAnna Petrova;Lenina 1;12;+79123456789\n",
    ),
    ("keys", asked.KeyImportQuery, "keys", "number;address;apartment\n198,34988;Lenina 1;12\n"),
)


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *(_import(services, *kind) for kind in KINDS),
        listed(
            "/v1/jobs",
            tag=TAG,
            plural="jobs",
            service=services.jobs,
            query=asked.JobQuery,
            document=JobDocument,
            readers=reads("jobs"),
        ),
        Endpoint(
            f"/v1/jobs/{ID}",
            TAG,
            Item(services.jobs, None),
            (
                Operation(
                    "GET",
                    "Read a job",
                    reads("jobs"),
                    (Answer(200, "The job with its progress", JobDocument),),
                    "Ask again until `finished_at_ms` is set: `rows_done` of `rows_total` tells how far it is, "
                    "`result` what came of it. A job is removed 90 days after its end.",
                ),
                Operation(
                    "DELETE",
                    "Remove a job",
                    changes("jobs"),
                    (Answer(204, "The job is gone"),),
                    "One that waits is never done then; one that runs cannot be removed.",
                    problems=frozenset({"conflict"}),
                ),
            ),
            id_key("job"),
        ),
    )


def _import(services: Services, kind: ImportKind, query: type[asked.ImportQuery], area: Area, example: str) -> Endpoint:
    columns = ", ".join(f"**{column.name}**" if column.required else column.name for column in IMPORTERS[kind].columns)
    headers: dict[str, Any] = {"headers": ("Location",)}
    return Endpoint(
        f"/v1/imports/{kind}",
        TAG,
        Import(services.imports, kind, query),
        (
            Operation(
                "POST",
                f"Import {kind} from CSV",
                changes(area) & changes("jobs"),
                (
                    Answer(200, "The job, ended: `result` tells every wrong row", JobDocument, **headers),
                    Answer(202, "The job waits; read it again for its progress", JobDocument, **headers),
                ),
                f"Columns: {columns}. UTF-8, UTF-16 or cp1251; semicolons, commas or tabs. With one wrong row nothing "
                "is imported. A file above 64 kB is imported in the background, and so is a smaller one while the "
                "database is busy: do not send it again. The audit log has an entry of each thing that is made "
                f"or changed. {_bounds(kind)}",
                upload=(CSV,),
                upload_example=example,
                query=query,
                headers=("Idempotency-Key",),
                problems=frozenset({"too-large", "not-found", "conflict"}),
            ),
        ),
    )


_MORE: Final[dict[str, str]] = {
    "houses": f", and {MOST_IN_RANGES:,} entrances named by ranges",
    "apartments": f", and {MOST_IN_RANGES:,} apartments named by ranges",
    "residents": f", and {MOST_PHONES_OF_A_FILE:,} phones",
    "keys": "",
}


def _bounds(kind: ImportKind) -> str:
    """Tell how much a file may have, as all of it is written in one transaction, for which others wait."""
    return (
        f"A file has at most {MOST_ROWS:,} rows, {MOST_LINES:,} lines (empty ones included){_MORE[kind]}: with more it "
        "is refused (422), or its job fails. Cut it into several."
    )
