"""Phone numbers as people write them, kept in E.164 (ITU-T E.164: `+`, country code, at most 15 digits)."""

from __future__ import annotations

import re
from typing import Final

import phonenumbers

_WRITTEN: Final = re.compile(r"(?:tel:)?\+?[0-9][0-9 ()./\u2010-\u2013-]*")
_LONGEST: Final = 32
EXAMPLE: Final = "+7 912 345-67-89"


def e164(text: str, region: str = "RU") -> str:
    """Return the number in E.164.

    Args:
        text: as written: `+7 (912) 345-67-89`; without `+` it is read as dialled in the region, `8 912 345-67-89`.
        region: country (ISO 3166-1) of a number without `+`.

    Raises:
        ValueError: no phone number; the sentence says what would be one.
    """
    written = text.strip().replace("\u00a0", " ")
    if len(written) > _LONGEST or _WRITTEN.fullmatch(written) is None:
        raise ValueError(f"give one phone number, such as {EXAMPLE}: digits, spaces, brackets and hyphens only")
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise ValueError(f"begin with + and the country's code, such as {EXAMPLE}") from None
        raise ValueError(f"give a whole phone number, such as {EXAMPLE}") from None
    if not phonenumbers.is_valid_number(number):
        country = f"+{number.country_code}"
        raise ValueError(f"no number of {country} looks like this; check its digits, such as {EXAMPLE}")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
