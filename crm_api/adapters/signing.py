"""Signatures of what we send to others' servers: HMAC-SHA256 over the moment and the body.

`Entryphone-Signature: t=<epoch seconds>,v1=<hex of HMAC-SHA256(secret, "<t>." + body)>`. The receiver compares in
constant time, and refuses moments too far from his own, so that nothing recorded can be sent again later.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

SIGNATURE: Final = "Entryphone-Signature"


def signature(secret: str, at_s: int, body: bytes) -> str:
    """Return the value of the header."""
    digest = hmac.digest(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hex()
    return f"t={at_s},v1={digest}"
