"""看板: how much was asked, how fast it was answered, and what went wrong."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import gradio as gr

from admin import look
from admin.access import Staff
from admin.charts import bars, card, lines, ranks, share
from admin.services import CHANNEL, Services
from admin.wording import CHANNELS, CODES, STATUSES
from core.store import stats
from core.store.stats import Dashboard, Figures, Step

ALL = "all"
WITHHELD = "content_blocked"  # no failure, but what staff want: it has a card of its own
# How long, and in what steps: days back (today included), the step, and what a step is called.
RANGES: dict[str, tuple[int, Step]] = {
    "今天": (1, "hour"),
    "近 7 天": (7, "day"),
    "近 30 天": (30, "day"),
    "近 12 周": (84, "week"),
    "近 12 个月": (365, "month"),
}
WHOLE = "近 7 天"
DELIVERIES = {
    "first": "第 1 次送达就答上",
    "second": "第 2 次送达答上",
    "third": "第 3 次送达答上",
    "pushed": "用客服消息推送",
    "continued": "用户说“继续”接着看",
    "partial": "还有后文没看",
    "uncollected": "一直没取",
}


class Board:
    """The tab; everybody may read it."""

    def __init__(self, services: Services, tab: gr.Tab) -> None:
        self._services = services
        on = services.access.on
        channels = [("全部用户", ALL), *((title, name) for name, title in CHANNELS.items())]
        with gr.Row(elem_classes="filters"):
            stretch = gr.Radio(
                list(RANGES), value=WHOLE, label="时间", show_label=False, container=False, scale=3, min_width=300
            )
            channel = gr.Radio(
                channels, value=ALL, label="渠道", show_label=False, container=False, scale=2, min_width=300
            )
        shown = gr.HTML(elem_id="dashboard")
        asked = [tab.select, stretch.input, channel.input]
        on(asked, self.show, [stretch, channel], [shown], trigger_mode="always_last")

    def show(self, who: Staff, stretch: str, channel: str) -> str:
        """Everything, as HTML."""
        days, step = RANGES.get(stretch, RANGES[WHOLE])
        settings, read = self._services.settings, self._services.database.read
        zone = ZoneInfo(settings.timezone)
        midnight = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        since = int((midnight - timedelta(days=days - 1)).timestamp() * 1000)
        until = int((midnight + timedelta(days=1)).timestamp() * 1000)
        # Staff's own tests are only shown where they are asked for.
        without = tuple(one for one in CHANNELS if one != channel) if channel in CHANNELS else (CHANNEL,)
        board = read(stats.dashboard, since, until, step, settings.timezone, without=without)
        users = board.total.users
        if step == "hour":  # of hours, nobody keeps account of people
            users = read(stats.dashboard, since, until, "day", settings.timezone, without=without).total.users
        if not board.total.turns and not board.behind:
            return look.empty("这段时间还没有人提问。")
        labels = [_label(point.start, step, zone) for point in board.points]
        behind = look.notice("较早的对话还在统计，下面的数字会继续增加。") if board.behind else ""
        return behind + f'<div class="cards">{"".join(_cards(board, users, labels, channel))}</div>'


def _cards(board: Dashboard, users: int | None, labels: list[str], channel: str) -> list[str]:
    total, points = board.total, [point.figures for point in board.points]
    turns = total.turns
    done = total.statuses.get("done", 0)
    cards = [
        card(
            "提问",
            f"{turns:,}",
            f"{done / turns:.1%} 顺利答完" if turns else "",
            bars([one.turns for one in points], labels, _count),
        ),
        card(
            "用户",
            "—" if users is None else f"{users:,}",
            f"平均每人问 {turns / users:.1f} 次" if users else "",
            bars([one.users or 0 for one in points], labels, _count)
            if points and points[0].users is not None
            else "",
        ),
        _times("首字", total, points, labels, Figures.first_token),
        _times("回答", total, points, labels, Figures.answer),
        card(
            "token",
            _short(sum(total.tokens)),
            f"输入 {_short(total.tokens[0])}，输出 {_short(total.tokens[1])}",
            bars([sum(one.tokens) for one in points], labels, _short),
        ),
    ]
    if channel not in CHANNELS and len(total.channels) > 1:
        parts = sorted(total.channels.items(), key=lambda item: -item[1])
        shares = share([(CHANNELS.get(name, name), value) for name, value in parts])
        cards.append(card("渠道", look.esc(CHANNELS.get(parts[0][0], parts[0][0])), "提问最多", shares))
    up, down = total.ratings
    liked = f"{up / (up + down):.0%}" if up + down else "—"
    rated = ranks([("赞", up), ("踩", down)], up + down, _count)
    cards.append(card("用户评价", liked, "的评价是赞" if up + down else "还没有人评价", rated if up + down else ""))
    kept = ranks([("打码", total.masked), ("拦截", total.blocked)], turns, _count)
    cards.append(card("过滤词命中", f"{total.masked + total.blocked:,}", "轮对话里有词被打码或拦截", kept))
    cards.append(_errors(total))
    if total.deliveries["messages"]:
        cards.append(_deliveries(total))
    return cards


def _times(title: str, total: Figures, points: list[Figures], labels: list[str], measure: Any) -> str:
    half, most = measure(total, 0.5), measure(total, 0.95)
    series = [
        ("一半快于", [measure(one, 0.5) for one in points]),
        ("95% 快于", [measure(one, 0.95) for one in points]),
    ]
    told = f"一半的回答快于此；95% 快于 {_seconds(most)}" if half is not None else "还没有数据"
    return card(f"{title}用时", _seconds(half), told, lines(series, labels, _seconds) if half is not None else "")


def _errors(total: Figures) -> str:
    failed = total.statuses.get("failed", 0)
    parts = [(CODES.get(code, code), count) for code, count in total.errors.items() if code != WITHHELD]
    stopped = total.statuses.get("stopped", 0)
    if stopped:
        parts.append((f"用户{STATUSES['stopped'][1:]}", stopped))
    told = f"占 {failed / total.turns:.1%}" if failed else "没有失败的回答"
    return card("失败", f"{failed:,}", told, ranks(parts, total.turns, _count))


def _deliveries(total: Figures) -> str:
    counts = total.deliveries
    whole = counts["messages"]
    parts = [(title, counts[name]) for name, title in DELIVERIES.items()]
    answered = counts["first"] + counts["second"] + counts["third"]
    told = f"条公众号消息，{answered / whole:.0%} 在微信等待时答上"
    return card("公众号送达", f"{whole:,}", told, ranks(parts, whole, _count), wide=True)


def _label(start: int, step: Step, zone: ZoneInfo) -> str:
    then = datetime.fromtimestamp(start / 1000, zone)
    if step == "hour":
        return f"{then.hour} 点"
    if step == "month":
        return f"{then.year}年{then.month}月"
    return f"{then.month}月{then.day}日" + ("起" if step == "week" else "")


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _short(value: float) -> str:
    """A large number, in ten thousands as one counts here."""
    if value < 10_000:
        return f"{value:,.0f}"
    return f"{value / 1e4:,.1f} 万" if value < 1e8 else f"{value / 1e8:,.2f} 亿"


def _seconds(ms: float | None) -> str:
    return look.seconds(ms)
