"""What would be right instead of a wrong field, in words; pydantic shows patterns to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.inputs.base import NO_NUL, PRINTABLE

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_CLOCK: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
_NAME: Final = "give 2 to 32 small letters, digits and hyphens, no hyphen first, such as carrier-a"
_URL: Final = "give a URL such as https://homes.example/events"

PATTERNS: Final = {
    NO_NUL: "give a text without the character NUL",
    PRINTABLE: "give a text of one line, without control characters",
    r"^[^\x00-\x1f\x7f]*$": "give a text of one line, without control characters",
    r"^[^:\x00-\x1f\x7f]+$": "give a text of one line, without colon and control characters",
    r"^[\x21-\x7e]+$": "give ASCII characters without spaces",
    r"^[a-z0-9][a-z0-9-]{1,31}$": _NAME,
    r"^[a-z]{2,3}(-[A-Z]{2})?$": "give a language such as en, ru or zh-CN",
    "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$": (
        "give a UUID such as 0c5b2444-70a0-4932-980c-b4dc0d3f02b5"
    ),
    r"^\+?[0-9]{2,15}$": "give 2 to 15 digits, with or without + before them",
    r"^[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$": "give a host, with or without port, such as sip.carrier.example:5060",
    f"^{_CLOCK}$": "give a time such as 07:30",
    f"^{_CLOCK}$|^24:00$": "give a time such as 07:30, at most 24:00",
    r"^[^@\s\x00-\x1f,;<>]{1,64}@[A-Za-z0-9.-]{1,190}$": "give one mail address such as duty@homes.example",
    r"^https?://[^\s\x00-\x1f]{3,500}$": _URL,
    r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[\x21-\x7e]*)?$": _URL,
    "^20[0-9]{2}-(0[1-9]|1[0-2])$": "give a month such as 2026-11",
    "^[a-z_]+$": "give small letters and _",
    "^([A-Z]{2}(,[A-Z]{2})*)?$": "give countries by ISO 3166 with commas between them, such as RU,KZ",
    "^[A-Z]{2}$": "give a country by ISO 3166, such as RU",
    "^[A-Z]{3}$": "give a currency by ISO 4217, such as RUB",
    "^[A-Za-z0-9+][A-Za-z0-9._@+-]{0,63}$": "give up to 64 letters, digits and ._@+-, a letter, digit or + first",
    "^[A-Za-z0-9._-]{1,128}$": "give up to 128 letters, digits and ._-",
    "^[A-Za-z0-9._:-]{1,128}$": "give up to 128 letters, digits and ._:-",
    "^[A-Za-z0-9][A-Za-z0-9._@+-]{2,127}$": "give 3 to 128 letters, digits and ._@+-, a letter or digit first",
    "^[0-9A-Fa-f.:]{2,39}(/[0-9]{1,3})?$": "give an address or a network such as 10.20.0.0/16",
    "^[0-9]+$": "give digits only",
    "^[0-9]{0,4}$": "give up to 4 digits",
    "^[0-9]{2,6}$": "give 2 to 6 digits",
    "^[0-9]{4,12}$": "give 4 to 12 digits",
    "^[0-9]{1,32}$": "give up to 32 digits",
    "^[0-9A-D*#]{1,8}$": "give up to 8 keys: 0 to 9, A to D, * and #",
    "^[1-9][0-9]{0,3}$": "give an apartment's number such as 12",
    "^[0-9*,/-]+( [0-9*,/-]+){3} [0-9*a-z,/-]+$": "give five fields as in crontab, such as 0 5 * * 1",
    "^AC[0-9a-f]{32}$": "give the account's SID: AC and 32 hexadecimal digits",
    "^-?id$": "give id or -id",
}
"""By the pattern of the field, as `crm_api.domain.inputs` spells it."""

_KINDS: Final = {
    "extra_forbidden": "there is no such field: correct its name, or leave it out",
    "model_type": "give a JSON object",
    "model_attributes_type": "give a JSON object",
    "dict_type": "give a JSON object",
}


def remedy_of(error: ErrorDetails) -> str:
    """Say what would be right."""
    told = PATTERNS.get(error.get("ctx", {}).get("pattern", ""))
    return told or _KINDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
