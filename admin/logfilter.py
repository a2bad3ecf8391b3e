"""What is looked for in 日志: the fields, and the filter they make."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import gradio as gr

from admin.known import SLOW_MS
from admin.look import moment_field, number
from admin.services import CHANNEL
from admin.wording import CHANNELS, FLAGS, STATUSES
from core.store.turnlog import Filter

SLOW, EVERYBODY, ALL = "slow", "everybody", "all"
MOST_SECONDS, MOST_VERSION = 86_400, 999_999
DAYS = {"今天": 1, "近 7 天": 7, "近 30 天": 30}
# The order of the fields: what a change of them is called with.
NAMES = ("text", "when", "channel", "flags", "user", "since", "until", "status", "version", "seconds")


class FilterForm:
    """The fields, the most used ones in sight; `wanted(*values)` is the filter they say."""

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        users = [name for name in CHANNELS.items() if name[0] != CHANNEL]
        channels = [("全部用户", EVERYBODY), *((title, name) for name, title in users)]
        channels += [(f"只看{CHANNELS[CHANNEL]}试聊", CHANNEL), ("全部，连同试聊", ALL)]
        flags = [(f"慢（{SLOW_MS // 1000} 秒以上）", SLOW), *((title, name) for name, title in FLAGS.items())]
        with gr.Row(elem_classes="filters"):
            self.text = gr.Textbox(
                label="文字", placeholder="问题或回答里的字，空格隔开", max_lines=1, scale=4, min_width=300
            )
            self.when = gr.Dropdown([("不限时间", ""), *((day, day) for day in DAYS)], label="时间", value="")
            self.channel = gr.Dropdown(channels, label="渠道", value=EVERYBODY)
            self.flags = gr.Dropdown(flags, label="只看", multiselect=True, scale=2)
            for field in (self.when, self.channel, self.flags):
                field.min_width = 150
            self.search = gr.Button("查找", variant="primary", min_width=88)
            self.clear = gr.Button("清空条件", min_width=88)
        with gr.Accordion("更多条件", open=False):
            with gr.Row(elem_classes="filters"):
                self.user = gr.Textbox(
                    label="用户", placeholder="编号、openid，或开头几位", max_lines=1, scale=2, min_width=200
                )
                self.since = moment_field("从", elem_id="since")
                self.until = moment_field("到", elem_id="until")
            with gr.Row(elem_classes="filters"):
                states = [("不限", ""), *((title, name) for name, title in STATUSES.items())]
                self.status = gr.Dropdown(states, label="状态", value="", min_width=130)
                self.version = gr.Textbox(label="提示词第几版", placeholder="如 3", max_lines=1, min_width=130)
                self.seconds = gr.Textbox(label="慢于（秒）", placeholder="如 5", max_lines=1, min_width=130)
        self.fields = [getattr(self, name) for name in NAMES]

    @staticmethod
    def cleared() -> list[Any]:
        """The values of fields that ask for nothing."""
        return ["", "", EVERYBODY, [], "", "", "", "", "", ""]

    def of_user(self, user_id: int) -> list[Any]:
        """The values by which all of a user is found, of whatever channel."""
        values = dict(zip(NAMES, self.cleared(), strict=True)) | {"user": str(user_id), "channel": ALL}
        return list(values.values())

    def wanted(self, *values: Any) -> Filter:
        """The filter; raises gr.Error where a field cannot be read."""
        told = dict(zip(NAMES, values, strict=True))
        flags = set(told["flags"] or ())
        slow = [1000 * (number("慢于几秒", told["seconds"], 0, MOST_SECONDS) or 0), SLOW_MS if SLOW in flags else 0]
        version = number("提示词版本", told["version"], 1, MOST_VERSION)
        channel = told["channel"] or EVERYBODY
        since = self._moment(told["since"])
        if days := DAYS.get(told["when"]):
            midnight = datetime.now(self._zone).replace(hour=0, minute=0, second=0, microsecond=0)
            since = max(since or 0, _ms(midnight - timedelta(days=days - 1)))
        return Filter(
            text=(told["text"] or "")[:200],
            user=(told["user"] or "").strip().lstrip("#"),
            channel=channel if channel in CHANNELS else None,
            without=CHANNEL if channel == EVERYBODY else None,
            since=since,
            until=self._moment(told["until"]),
            prompt_version=int(version) if version else None,
            status=told["status"] if told["status"] in STATUSES else None,
            flags=frozenset(flag for flag in FLAGS if flag in flags),
            slow_ms=int(max(slow)) or None,
        )

    def _moment(self, written: str | None) -> int | None:
        if not written:
            return None
        try:
            return _ms(datetime.fromisoformat(written).replace(tzinfo=self._zone))
        except ValueError:
            raise gr.Error("时间没有填完整，请选好日期和钟点。") from None


def told(wanted: Filter, timezone: str) -> str:
    """A filter in words, for the operation log."""
    zone = ZoneInfo(timezone)
    parts = {
        "文字": wanted.text,
        "用户": wanted.user,
        "渠道": CHANNELS.get(wanted.channel or "", ""),
        "不含": CHANNELS.get(wanted.without or "", ""),
        "从": wanted.since and f"{datetime.fromtimestamp(wanted.since / 1000, zone):%Y-%m-%d %H:%M}",
        "到": wanted.until and f"{datetime.fromtimestamp(wanted.until / 1000, zone):%Y-%m-%d %H:%M}",
        "状态": STATUSES.get(wanted.status or "", ""),
        "只看": "、".join(FLAGS[flag] for flag in FLAGS if flag in wanted.flags),
        "提示词版本": wanted.prompt_version,
        "慢于": wanted.slow_ms and f"{wanted.slow_ms / 1000:g} 秒",
    }
    return "，".join(f"{name} {value}" for name, value in parts.items() if value) or "全部"


def _ms(then: datetime) -> int:
    return int(then.timestamp() * 1000)
