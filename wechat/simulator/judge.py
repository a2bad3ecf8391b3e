"""Our replies, read the way WeChat reads them."""

import json
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from wechat.envelope import Cipher, NotAuthentic, sign
from wechat.simulator.account import Account

MOST_BYTES = 2048


@dataclass(frozen=True)
class Verdict:
    """What the follower gets to see: `text`, `transfer`, `nothing`, or `failure` for the reason `why`."""

    kind: str
    text: str = ""
    why: str = ""


class Abnormal(Exception):
    """Data WeChat makes nothing of."""


def judge(body: bytes, account: Account, openid: str, nonce: str) -> Verdict:
    """A reply with status 200."""
    if body in (b"", b"success"):
        return Verdict("nothing")
    try:
        fields = _fields(body, account, nonce)
        return _shown(fields, account, openid)
    except Abnormal as fault:
        return Verdict("failure", why=str(fault))


def opened(body: bytes, account: Account) -> str:
    """A reply for people to read: decrypted, where it can be."""
    try:
        return Cipher(account.aes_key, account.appid).decrypt(str(_parse(body, account).get("Encrypt", ""))).decode()
    except (Abnormal, NotAuthentic, ValueError):
        return body.decode("utf-8", "replace")


def _fields(body: bytes, account: Account, nonce: str) -> dict[str, Any]:
    fields = _parse(body, account)
    if account.mode != "safe" and "Encrypt" not in fields:
        return fields
    encrypted, signature = str(fields.get("Encrypt", "")), fields.get("MsgSignature")
    timestamp, echoed = str(fields.get("TimeStamp", "")), str(fields.get("Nonce", ""))
    if not encrypted or signature != sign(account.token, timestamp, echoed, encrypted):
        raise Abnormal("not encrypted, or a bad MsgSignature")
    if echoed != nonce or not timestamp.isdigit():
        raise Abnormal("another Nonce than ours, or no TimeStamp")
    try:
        return _parse(Cipher(account.aes_key, account.appid).decrypt(encrypted), account)
    except NotAuthentic as fault:
        raise Abnormal(str(fault)) from None


def _parse(body: bytes, account: Account) -> dict[str, Any]:
    try:
        text = body.decode()
        if account.form == "json":
            fields = json.loads(text)
            if not isinstance(fields, dict):
                raise Abnormal("no object")
            return fields
        root: Element = fromstring(text, forbid_dtd=True)
    except (UnicodeDecodeError, ValueError, ParseError, DefusedXmlException) as fault:
        raise Abnormal(f"cannot be read: {fault}") from None
    names = [child.tag for child in root]
    if root.tag != "xml" or len(set(names)) != len(names):
        raise Abnormal("not <xml>, or a field twice")
    return {child.tag: child.text or "" for child in root}


def _shown(fields: dict[str, Any], account: Account, openid: str) -> Verdict:
    if fields.get("ToUserName") != openid or fields.get("FromUserName") != account.name:
        raise Abnormal("the names are not swapped")
    if not str(fields.get("CreateTime", "")).isdigit():
        raise Abnormal("no CreateTime")
    kind, text = fields.get("MsgType"), fields.get("Content")
    if kind == "transfer_customer_service":
        if not account.may_push:
            raise Abnormal("the account has no customer service")
        return Verdict("transfer")
    if kind != "text" or not isinstance(text, str) or not text:
        raise Abnormal("no text")
    if len(text.encode()) > MOST_BYTES:
        raise Abnormal(f"{len(text.encode())} bytes, more than {MOST_BYTES}")
    return Verdict("text", text)
