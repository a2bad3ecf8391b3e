"""Is a push WeChat's? Signatures, encryption and freshness, before anything in it is believed.

    plain        the signature covers token, timestamp and nonce; the body is as it comes
    compatible   plain fields beside a ciphertext: only the ciphertext is believed
    safe         a ciphertext and nothing else; plain pushes are refused

The cipher is wechatpy's; framing, padding, comparison and random bytes are ours (wechatpy checks no padding, compares
in variable time and raises whatever its parts raise).
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wechatpy.crypto.cryptography import WeChatCipher

from wechat.messages import Fields, Form, Malformed, parse_fields

BLOCK = 32  # PKCS#7 in WeChat's own size


class NotAuthentic(Exception):
    """Not from WeChat, or not for us, or too old: nothing of it may have any effect."""


class Cipher:
    """AES-256-CBC in WeChat's frame: 16 random bytes, the length, the message, the appid, padding."""

    def __init__(self, encoding_aes_key: str, appid: str) -> None:
        self._key = base64.b64decode(encoding_aes_key + "=")
        if len(self._key) != 32:
            raise ValueError("an EncodingAESKey has 43 characters")
        self._appid = appid.encode()

    def decrypt(self, encrypted: str) -> bytes:
        """The message inside; raises NotAuthentic whatever is wrong with it."""
        try:
            ciphertext = base64.b64decode(encrypted, validate=True)
        except (binascii.Error, ValueError):
            raise NotAuthentic("the ciphertext is not base64") from None
        if not ciphertext or len(ciphertext) % 16:
            raise NotAuthentic("the ciphertext has no whole blocks")
        frame: bytes = WeChatCipher(self._key).decrypt(ciphertext)
        pad = frame[-1]
        if not 1 <= pad <= BLOCK or len(frame) < 20 + pad or frame[-pad:] != bytes([pad]) * pad:
            raise NotAuthentic("bad padding")
        frame = frame[:-pad]
        (length,) = struct.unpack(">I", frame[16:20])
        message, appid = frame[20 : 20 + length], frame[20 + length :]
        if len(message) != length or not hmac.compare_digest(appid, self._appid):
            raise NotAuthentic("encrypted for another appid")
        return message

    def encrypt(self, message: bytes) -> str:
        frame = secrets.token_bytes(16) + struct.pack(">I", len(message)) + message + self._appid
        pad = BLOCK - len(frame) % BLOCK
        return base64.b64encode(WeChatCipher(self._key).encrypt(frame + bytes([pad]) * pad)).decode()


def sign(*parts: str) -> str:
    """WeChat's signature: SHA-1 of the sorted parts."""
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Opened:
    """A push that is authentic: what it says, the form it came in, and how to seal the reply to it."""

    fields: Fields
    form: Form
    cipher: Cipher | None = None
    nonce: str = ""


Query = Mapping[str, Sequence[str]]  # each parameter with all its values


class Gate:
    """The callback's door, for one account."""

    def __init__(self, token: str, appid: str, mode: str, aes_keys: Sequence[str], max_age: float) -> None:
        if not token:
            raise ValueError("an empty token would let everybody in")
        self._token = token
        self._mode = mode
        self._ciphers = [Cipher(key, appid) for key in aes_keys if key]
        self._max_age = max_age

    def verify_url(self, query: Query) -> str:
        """The `echostr` to answer when the address is being set up; raises NotAuthentic."""
        self._check(query, "signature")
        return _one(query, "echostr")

    def open(self, query: Query, body: bytes) -> Opened:
        """Raises NotAuthentic, or Malformed for an authentic push that makes no sense."""
        if self._mode == "plain":
            self._check(query, "signature")
            return Opened(*parse_fields(body))
        # The plain fields beside a ciphertext, and the plain signature, prove nothing about the body.
        try:
            outer, form = parse_fields(body)
        except Malformed as fault:
            raise NotAuthentic(str(fault)) from None
        encrypted = outer.get("Encrypt")
        if not isinstance(encrypted, str) or not encrypted:
            raise NotAuthentic("not encrypted")
        self._check(query, "msg_signature", encrypted)
        message, cipher = self._decrypt(encrypted)
        fields, _ = parse_fields(message)
        return Opened(fields, form, cipher, _one(query, "nonce"))

    def seal(self, reply: str, opened: Opened) -> str:
        """The reply as it must travel: encrypted where the push was, in the push's form."""
        if opened.cipher is None:
            return reply
        encrypted, timestamp = opened.cipher.encrypt(reply.encode()), str(int(time.time()))
        signature = sign(self._token, timestamp, opened.nonce, encrypted)
        return opened.form.sealed(encrypted, signature, timestamp, opened.nonce)

    def _decrypt(self, encrypted: str) -> tuple[bytes, Cipher]:
        """With the current key, or with the previous one while keys are being changed."""
        for cipher in self._ciphers[:-1]:
            try:
                return cipher.decrypt(encrypted), cipher
            except NotAuthentic:
                continue
        return self._ciphers[-1].decrypt(encrypted), self._ciphers[-1]

    def _check(self, query: Query, name: str, *signed: str) -> None:
        timestamp, nonce, given = (_one(query, each) for each in ("timestamp", "nonce", name))
        expected = sign(self._token, timestamp, nonce, *signed)
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise NotAuthentic("bad signature")
        self.check_age(timestamp)

    def check_age(self, timestamp: str | int) -> None:
        """Raises NotAuthentic for what WeChat sent too long ago (or somebody else sent again)."""
        check_age(timestamp, self._max_age)


def check_age(timestamp: str | int, max_age: float) -> None:
    """Raises NotAuthentic for a time of WeChat's too long ago."""
    text = str(timestamp)
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise NotAuthentic("not a time")
    if time.time() - int(text) > max_age:
        raise NotAuthentic("too old")


def _one(query: Query, name: str) -> str:
    values = query.get(name) or ()
    if len(values) != 1 or not values[0] or len(values[0]) > 1024:
        raise NotAuthentic(f"no {name}, or several")
    value = values[0]
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotAuthentic(f"a {name} that is no text") from None
    return value
