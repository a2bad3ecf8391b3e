"""Everything the log knows of a turn, as HTML: below each turn of a transcript, and on the rows of the list."""

from collections.abc import Sequence
from typing import Any

from admin.look import chip, esc, moment, seconds
from admin.wording import CHANNELS, FLAGS, KINDS, STAFF, STATUSES
from core.settings import SIMULATOR_APPID, SIMULATOR_OFFICIAL_APPID, Settings
from core.store.deliveries import KEPT_MS
from core.store.figures import UNFINISHED
from core.store.reviews import Told
from core.store.turnlog import Line
from core.store.turns import Options
from core.store.users import UNIONID
from core.tables import now_ms

SLOW_MS = 10_000  # from here on an answer is called slow
RATINGS = {"up": "赞", "down": "踩"}
GOOD_FLAGS = ("liked", "noted")
STATES = {
    "new": "还没有回复",
    "rest": "还有后文没看",
    "push": "正在推送",
    "undeliverable": "推送不了",
    "shown": "已看完",
}


def user(user_id: int | None) -> str:
    """Whose turn it is, in few characters: numbers of users differ at their end."""
    return "已清除的用户" if user_id is None else f"用户…{user_id % 1_000_000:06}"


def slow(row: Any) -> bool:
    """Whether a turn, or its first token, took long."""
    return max(row.duration_ms or 0, row.first_token_ms or 0) >= SLOW_MS


def line_chips(line: Line) -> str:
    """Status, flags and latency of a row of the list."""
    chips = []
    if line.status not in ("done", "failed", "blocked"):
        chips.append(chip(STATUSES[line.status], "warn" if line.status == "stopped" else ""))
    chips += [
        chip(FLAGS[flag], "good" if flag in GOOD_FLAGS else "bad" if flag in ("failed", "blocked") else "warn")
        for flag in FLAGS
        if flag in line.flags and not (flag == "partial" and "uncollected" in line.flags)
    ]
    if line.superseded:
        chips.append(chip("已重新生成"))
    if line.score is not None:
        chips.append(chip(f"{line.score} 分"))
    if slow(line):
        chips.append(chip(f"慢 {seconds(line.duration_ms or line.first_token_ms)}", "warn"))
    elif line.duration_ms is not None:
        chips.append(f'<span class="soft">{seconds(line.duration_ms)}</span>')
    return " ".join(chips)


def about(told: Told, timezone: str, chosen: bool) -> str:
    """What stands below a turn of a transcript; `data-pick` chooses it."""
    turn = told.turn
    parts = [_figures(turn, timezone)]
    if chips := _chips(turn):
        parts.append(f'<div class="notes">{chips}</div>')
    if turn.rating_reason:
        parts.append(_line(f"{RATINGS.get(turn.rating, '评价')}的理由：{turn.rating_reason}"))
    parts += [_line(_delivery(one, turn)) for one in told.deliveries]
    parts += [_complaint(one, timezone) for one in told.complaints]
    if turn.reviewed_at is not None:
        parts.append(_review(turn, timezone))
    if not chosen:
        parts.append(f'<button type="button" class="choose" data-pick="{turn.id}">看这一轮</button>')
    return f'<div class="about">{"".join(parts)}</div>'


def _figures(turn: Any, timezone: str) -> str:
    """When, how fast, how much, by what."""
    options = Options.loads(turn.options)
    parts = [moment(turn.created_at, timezone, seconds=True), CHANNELS.get(turn.channel, turn.channel)]
    if turn.first_token_ms is not None:
        parts.append(f"首字 {seconds(turn.first_token_ms)}")
    if turn.duration_ms is not None:
        parts.append(f"共 {seconds(turn.duration_ms)}")
    if turn.completion_tokens is not None:
        parts.append(f"{turn.prompt_tokens} → {turn.completion_tokens} token")
    if turn.prompt_version is not None:
        parts.append(f"提示词第 {turn.prompt_version} 版")
    elif options.prompt is not None:
        parts.append("提示词草稿")
    if options.thinking:
        parts.append("深度思考")
    if turn.model:
        parts.append(turn.model)
    if turn.finish_reason == "length":
        parts.append("写到字数上限")
    return _line(" · ".join(parts))


def _chips(turn: Any) -> str:
    """Status and error stand at the bubble already."""
    chips = []
    if turn.rating in RATINGS:
        chips.append(chip(RATINGS[turn.rating], "good" if turn.rating == "up" else "warn"))
    if slow(turn):
        chips.append(chip("慢", "warn"))
    if turn.superseded:
        chips.append(chip("已重新生成"))
    if turn.attempt > 1:
        chips.append(chip(f"写了 {turn.attempt} 次"))
    return " ".join(chips)


def _delivery(row: Any, turn: Any) -> str:
    state = STATES.get(row.state, row.state)
    if row.state in UNFINISHED and row.created_at < now_ms() - KEPT_MS:
        state = "一直没取"
    replied = "" if row.reply in (None, "", "success") else f"第 {row.arrivals} 次送达时答上 · "
    pushed = f"已推送 {row.pushed} 条 · " if row.pushed else ""
    return (
        f"微信送达 {row.arrivals} 次 · {replied}已送 {min(row.shown, len(turn.answer))}/{len(turn.answer)} 字"
        f" · {pushed}{state}"
    )


def _complaint(row: Any, timezone: str) -> str:
    kind, open_ = KINDS.get(row.kind, row.kind), row.state == "open"
    told = f"{moment(row.created_at, timezone)} · 编号 {row.receipt}" + (f" · {row.reason}" if row.reason else "")
    if not open_:
        told += f" · {row.closed_by or '系统'} 已处理" + (f"：{row.note}" if row.note else "")
    return (
        f'<div class="soft">{chip(kind + ("，待处理" if open_ else ""), "warn" if open_ else "")} {esc(told)}</div>'
    )


def _review(turn: Any, timezone: str) -> str:
    score = f"{turn.score} 分　" if turn.score is not None else ""
    note = f"<div>{esc(score)}{esc(turn.note or '')}</div>" if score or turn.note else ""
    better = f'<div class="soft">更好的回答</div><div class="pre">{esc(turn.better_answer)}</div>'
    signed = f"{turn.reviewed_by} {moment(turn.reviewed_at, timezone)} 的批注"
    return (
        f'<div class="review"><div class="soft">{esc(signed)}</div>{note}{better if turn.better_answer else ""}</div>'
    )


def _line(text: str) -> str:
    return f'<div class="soft">{esc(text)}</div>'


def app(settings: Settings, appid: str) -> str:
    """What staff call the app by which somebody is known."""
    titles = {SIMULATOR_APPID: "模拟的小程序", SIMULATOR_OFFICIAL_APPID: "模拟的公众号"}
    titles |= {settings.miniprogram_appid: "小程序", settings.wechat_appid: "公众号"}
    return (titles | {UNIONID: "UnionID", STAFF: "员工试聊"}).get(appid, appid)


def names(settings: Settings, identities: Sequence[Any]) -> str:
    """A user's identities."""
    return "，".join(f"{app(settings, one.appid)} {one.openid}" for one in identities)
