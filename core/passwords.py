"""Passwords of staff: argon2 hashes, and random ones for those who are given none."""

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

MIN_CHARS = 10
_LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that look alike


def random_password() -> str:
    """About 92 bits, to be typed by a person once."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def hashed(password: str) -> str:
    """Takes 100 ms and more, on purpose: never call it on the thread that serves others."""
    return PasswordHasher().hash(password)


@cache
def _nobodys() -> str:
    return hashed(random_password())


def right(stored: str | None, password: str) -> bool:
    """Whether this is the password of a stored hash; as slow for an account that does not exist (None)."""
    try:
        PasswordHasher().verify(stored or _nobodys(), password)
    except (Argon2Error, InvalidHashError):
        return False
    return stored is not None
