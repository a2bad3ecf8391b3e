"""The automatic replies an account had before: WeChat switches them off with the callback, we take them over."""

from typing import Any, NamedTuple

from sqlalchemy import Connection

from core.store import content

AUTHOR = "导入自公众平台"


class KeywordReply(NamedTuple):
    keyword: str
    match: str  # exact, contains
    reply: str


class AutoReplies(NamedTuple):
    """What get_current_autoreply_info told, as far as it is text."""

    welcome: str  # empty: none, or no text
    keywords: list[KeywordReply]
    left_out: int  # rules that answer with something else than text


def read(info: dict[str, Any]) -> AutoReplies:
    """Pictures, voices and articles cannot be said in a passive text reply: those rules are counted and left out."""
    welcome = _text(info.get("add_friend_autoreply_info")) if info.get("is_add_friend_reply_open") else ""
    rules = info.get("keyword_autoreply_info")
    listed = rules.get("list", []) if isinstance(rules, dict) else []
    keywords: list[KeywordReply] = []
    left_out = 0
    for rule in listed if isinstance(listed, list) else []:
        if not isinstance(rule, dict):
            continue
        said = [_text(one) for one in rule.get("reply_list_info") or [] if isinstance(one, dict)]
        reply = "\n\n".join(text for text in said if text)
        words = [one for one in rule.get("keyword_list_info") or [] if isinstance(one, dict)]
        if not reply:
            left_out += 1
            continue
        for word in words:
            keyword = str(word.get("content") or "").strip()
            if keyword:
                match = "exact" if word.get("match_mode") == "equal" else "contains"
                keywords.append(KeywordReply(keyword[:100], match, reply))
    return AutoReplies(welcome, keywords, left_out)


def store(connection: Connection, replies: AutoReplies) -> int:
    """Add those we have not; how many are new. A welcome text of staff's own is left alone."""
    known = {(row.keyword, row.match) for row in content.every_keyword_reply(connection)}
    new = [one for one in dict.fromkeys(replies.keywords) if (one.keyword, one.match) not in known]
    for one in new:
        content.add_keyword_reply(connection, one.keyword, one.match, one.reply, author=AUTHOR)
    if replies.welcome:
        content.set_option(connection, "welcome", replies.welcome)
    return len(new)


def _text(one: Any) -> str:
    if isinstance(one, dict) and one.get("type") == "text" and isinstance(one.get("content"), str):
        return str(one["content"]).strip()
    return ""
