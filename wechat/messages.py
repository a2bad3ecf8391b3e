"""What WeChat pushes, from bytes to a `Push`; XML and JSON with the same fields.

Strict, because it is read before we know who sent it: UTF-8 only, no DTD, bounded size and depth, one value per
field. The meaning of a message is then wechatpy's message and event classes, on fields that passed.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any
from xml.etree.ElementTree import ParseError

import orjson
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser
from wechatpy.events import EVENT_TYPES
from wechatpy.messages import MESSAGE_TYPES, BaseMessage

MAX_BYTES = 64 * 1024
MAX_DEPTH = 6
MAX_FIELDS = 500
_IDENTIFIER = re.compile(r"[!-~]{1,128}")
_MSG_ID = re.compile(r"[!-~]{1,100}")

Fields = dict[str, Any]  # a field's value: text, Fields, or (where WeChat repeats one) a list of them
REPEATED = {"item", "List", "detail", "RevokeInfo"}  # PicList/item, SubscribeMsgPopupEvent/List, wxa_media_check


class Malformed(Exception):
    """Not a message of WeChat's, whoever sent it."""


class Form(Enum):
    """How a push is written, and its reply has to be."""

    XML = "application/xml"
    JSON = "application/json"

    def sealed(self, encrypted: str, signature: str, timestamp: str, nonce: str) -> str:
        """An encrypted reply."""
        if self is Form.JSON:
            values = {"Encrypt": encrypted, "MsgSignature": signature, "TimeStamp": int(timestamp), "Nonce": nonce}
            return orjson.dumps(values).decode()
        return (
            f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt><MsgSignature><![CDATA[{signature}]]></MsgSignature>"
            f"<TimeStamp>{timestamp}</TimeStamp><Nonce><![CDATA[{cdata(nonce)}]]></Nonce></xml>"
        )


def cdata(text: str) -> str:
    """A text that may stand inside CDATA: it cannot end it."""
    return text.replace("]]>", "]]]]><![CDATA[>")


@dataclass(frozen=True, slots=True)
class Push:
    """One message or event of a follower."""

    sender: str  # openid
    receiver: str  # the account's gh_ id, or its appid
    created: int  # seconds, by WeChat's clock
    kind: str  # text, voice, event, …
    event: str  # lower case; empty for messages
    key: str  # names this message, however often it is delivered
    message: BaseMessage  # wechatpy's view of the fields

    def get(self, name: str) -> str:
        """A field's text; empty where there is none."""
        value = self.message._data.get(name)
        return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def parse_push(fields: Fields) -> Push:
    """Raises Malformed."""
    sender, receiver, kind = (_text(fields, name) for name in ("FromUserName", "ToUserName", "MsgType"))
    created = _text(fields, "CreateTime")
    if not (_IDENTIFIER.fullmatch(sender) and _IDENTIFIER.fullmatch(receiver)):
        raise Malformed("no sender or no receiver")
    if not re.fullmatch(r"[A-Za-z_]{1,40}", kind):
        raise Malformed("no MsgType")
    if not re.fullmatch(r"[0-9]{1,12}", created):
        raise Malformed("no CreateTime")
    event = _text(fields, "Event") if kind == "event" else ""
    if kind == "event" and not re.fullmatch(r"[A-Za-z0-9_]{1,64}", event):
        raise Malformed("no Event")
    for name in ("Content", "EventKey", "Recognition", "MediaId", "MediaId16K"):
        _text(fields, name)
    classes, name = (EVENT_TYPES, event.lower()) if event else (MESSAGE_TYPES, kind.lower())
    message = classes.get(name, BaseMessage)(fields)
    return Push(sender, receiver, int(created), kind.lower(), event.lower(), _key(fields, event), message)


def _key(fields: Fields, event: str) -> str:
    """MsgId as a string (it may be longer than 64 bits); events have none."""
    msg_id = _text(fields, "MsgId")
    if msg_id and not event:
        if not _MSG_ID.fullmatch(msg_id):
            raise Malformed("an odd MsgId")
        return f"m:{msg_id}"
    parts = [_text(fields, name) for name in ("FromUserName", "CreateTime", "Event", "EventKey")]
    if not event:
        parts += [_text(fields, name) for name in ("MsgType", "Content", "MediaId")]
    return "e:" + hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name, "")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Malformed(f"{name} is no text")
    return str(value)


def parse_fields(body: bytes) -> tuple[Fields, Form]:
    """The fields of a body, whichever form it is in; raises Malformed."""
    if len(body) > MAX_BYTES:
        raise Malformed("too large")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    text = text.removeprefix("\ufeff").strip()
    if text.startswith("<"):
        return _from_xml(text), Form.XML
    if text.startswith("{"):
        return _from_json(text), Form.JSON
    raise Malformed("neither XML nor JSON")


def _from_json(text: str) -> Fields:
    try:
        orjson.loads(text)  # stricter than json: no NaN, no lone surrogate, no bottomless nesting
        fields = json.loads(text, object_pairs_hook=_without_doubles)
        json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as fault:
        raise Malformed(f"bad JSON: {type(fault).__name__}") from None
    _check_depth(fields, 1)
    if not isinstance(fields, dict):
        raise Malformed("no object")
    return fields


def _without_doubles(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field twice")
    return fields


def _check_depth(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Malformed("too deep")
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inside:
        _check_depth(one, depth + 1)


def _from_xml(text: str) -> Fields:
    builder = _Builder()
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    try:
        parser.feed(text)
        root = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as fault:
        raise Malformed(f"bad XML: {type(fault).__name__}") from None
    if not isinstance(root, dict):
        raise Malformed("no fields")
    return root


class _Builder:
    """Makes fields of the parser's events, and stops it where there are too many or too deep ones."""

    def __init__(self) -> None:
        self._stack: list[tuple[Fields, list[str]]] = []
        self._count = 0
        self._root: Any = None

    def start(self, _tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._stack) >= MAX_DEPTH or self._count > MAX_FIELDS:
            raise Malformed("too deep, or too many fields")
        self._stack.append(({}, []))

    def data(self, data: str) -> None:
        if self._stack:
            self._stack[-1][1].append(data)

    def end(self, tag: str) -> None:
        fields, text = self._stack.pop()
        value: Any = fields or "".join(text)
        if not self._stack:
            if tag != "xml":
                raise Malformed("the root is not <xml>")
            self._root = value
            return
        parent = self._stack[-1][0]
        if tag not in parent:
            parent[tag] = [value] if tag in REPEATED else value
        elif tag in REPEATED:
            parent[tag].append(value)
        else:
            raise Malformed(f"{tag} twice")

    def close(self) -> Any:
        return self._root
