"""Secrets, encrypted at rest (Fernet: AES-128-CBC with HMAC-SHA256), and keyed hashes to find them by."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import tempfile
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken

if TYPE_CHECKING:
    from pathlib import Path


class Encryption:
    """Encrypts and decrypts with the key of one file."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)
        # A key of its own for hashes (RFC 5869 in one step: the file's key has full entropy).
        self._hash_key = hmac.digest(key, b"entryphone keyed hash", hashlib.sha256)
        self._binding_key = hmac.digest(key, b"entryphone bound key", hashlib.sha256)

    @classmethod
    def from_file(cls, path: Path) -> Encryption:
        """Read the key; make the file (mode 0600) with a new key when it is missing."""
        if not path.exists():
            # Written whole, then linked: a second process that starts at the same moment never reads half a key.
            with tempfile.NamedTemporaryFile(dir=path.parent) as file:
                file.write(Fernet.generate_key())
                file.flush()
                with contextlib.suppress(FileExistsError):
                    os.link(file.name, path)
        return cls(path.read_bytes().strip())

    def bound_to(self, word: str) -> Encryption:
        """Return an encryption whose key is made of ours and a word: without both, nobody decrypts."""
        return Encryption(base64.urlsafe_b64encode(hmac.digest(self._binding_key, word.encode(), hashlib.sha256)))

    def encrypted(self, secret: str) -> str:
        """Return the secret as text for the database."""
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypted(self, text: str) -> str:
        """Return the secret.

        Raises:
            ValueError: made with another key.
        """
        try:
            return self._fernet.decrypt(text.encode()).decode()
        except InvalidToken as error:
            raise ValueError("The secret was encrypted with another key: check encryption_key_file") from error

    def keyed_hash(self, secret: str) -> str:
        """Return a hash (hexadecimal) that finds a short secret again, and that nobody without the key can try out."""
        return hmac.digest(self._hash_key, secret.encode(), hashlib.sha256).hex()
