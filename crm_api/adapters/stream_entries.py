"""What Redis answers of a stream: its entries, whatever protocol, and for how long wishes have waited there."""

from __future__ import annotations

from typing import Any, NamedTuple

Entry = tuple[bytes, dict[bytes, bytes]]


class Wish(NamedTuple):
    """An entry of a stream of wishes, and for how long it has waited there (ms)."""

    body: bytes
    age_ms: int


def entries_of(answer: Any) -> list[Entry]:
    """Flatten an answer of XREAD or XREADGROUP: pairs in RESP2, a mapping in RESP3; a deleted entry has no fields."""
    if not answer:
        return []
    streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer]
    found: list[Entry] = []
    for entries in streams:
        flat = entries[0] if isinstance(answer, dict) and entries and isinstance(entries[0], list) else entries
        found += [(entry_id, fields or {}) for entry_id, fields in flat]
    return found


def place_of(entry_id: bytes) -> tuple[int, int]:
    """Return the moment of an entry by Redis's clock, in epoch milliseconds, and its number within it."""
    at_ms, _, number = entry_id.partition(b"-")
    return int(at_ms), int(number)


def wishes_of(entries: list[Entry], field: bytes, redis_time: tuple[int, int] | None) -> list[Wish]:
    """Return what the entries wish for, with its age.

    Redis's clock says that at both ends: those of the host that wishes and of ours may be minutes apart.

    Args:
        entries: of a stream of wishes.
        field: what of an entry is the wish; one without it is left out.
        redis_time: the answer of TIME, asked after the entries were read; None when there was none: nobody gives out
            these entries again, and they are most likely new.
    """
    now_ms = 0 if redis_time is None else redis_time[0] * 1000 + redis_time[1] // 1000
    # Put back, Redis's clock is behind its entries, which go on from the last one: such a wish is new.
    return [
        Wish(fields[field], max(0, now_ms - place_of(entry_id)[0])) for entry_id, fields in entries if field in fields
    ]
