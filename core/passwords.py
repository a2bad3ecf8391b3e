"""Passwords of staff: argon2 hashes, and random ones for those who are given none."""

import secrets

from argon2 import PasswordHasher

MIN_CHARS = 10
_LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that look alike


def random_password() -> str:
    """About 92 bits, to be typed by a person once."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def hashed(password: str) -> str:
    """Takes 100 ms and more, on purpose: never call it on the thread that serves others."""
    return PasswordHasher().hash(password)
