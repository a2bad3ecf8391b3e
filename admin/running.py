"""运行: whether everything runs, in one line at the head of the page and in full in a tab."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from admin import look
from admin.access import Staff
from admin.services import Services
from core import VERSION
from core.liveness import host_id
from core.logs import redacted
from core.settings import is_secret
from core.store import processes, writing

PING_SECONDS = 1.5
FRESH_SECONDS = 5.0
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}


class Running:
    """The tab; everybody may read it, settings are for admins."""

    def __init__(self, services: Services, tab: gr.Tab) -> None:
        self._services = services
        shown = gr.HTML()
        again = gr.Button("刷新", size="sm")
        services.access.on([tab.select, again.click], self.show, outputs=[shown])

    def show(self, who: Staff) -> str:
        return "".join(self._parts(who))

    def _parts(self, who: Staff) -> Iterator[str]:
        services, settings = self._services, self._services.settings
        database = services.database
        waiting, answering = database.read(writing.count_open)
        yield _section("现在", [("等待回答", str(waiting)), ("正在回答", str(answering)), ("版本", VERSION)])

        states = {"running": look.chip("运行中", "good"), "draining": look.chip("正在停止", "warn")}
        here = host_id()
        body = [
            ("本机" if one.host == here else look.esc(one.host[:8]), str(one.pid), states[one.state])
            for one in database.read(processes.everyone)
        ]
        yield "<h3>进程</h3>" + look.table(("机器", "进程号", "状态"), body, "没有进程登记。")

        facts, reason = services.source.facts(), services.model.ping(PING_SECONDS)
        state = look.chip("正常", "good") if reason is None else look.chip("连不上", "bad")
        about = [("模型", look.esc(facts.name)), ("状态", state), ("上下文", f"{facts.context_tokens} token")]
        endpoints = [
            (
                look.esc(one["url"]),
                look.chip("正常", "good")
                if not one["failures"]
                else look.chip(f"连续失败 {one['failures']} 次", "bad"),
            )
            for one in services.model.endpoints_state()
        ]
        yield _section("模型", about) + look.table(("接口地址", "状态"), endpoints, "内置模型还没有启动。")

        stored = [("种类", DATABASES[database.dialect])]
        if (file := database.url.database) and database.dialect == "sqlite":
            stored.append(("大小", f"{Path(file).stat().st_size / 1e6:.1f} MB"))
        days = settings.retention_days
        stored.append(("对话保留", f"{days} 天，每天凌晨清理更早的" if days else "不清理"))
        yield _section("数据库", stored)

        if who.may("admin"):
            yield "<h3>配置</h3>" + look.table(("名称", "值"), _settings(services), "")


class Line:
    """The state of everything as a few chips; looked at once, however many pages are open."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._until = 0.0
        self._shown = ""

    def show(self, who: Staff) -> str:
        with self._lock:
            if time.monotonic() > self._until:
                self._shown = _line(self._services)
                self._until = time.monotonic() + FRESH_SECONDS
            return self._shown


def _line(services: Services) -> str:
    database = services.database
    waiting, answering = database.read(writing.count_open)
    alive = len(database.read(processes.everyone))
    chips = [look.chip(f"进程 {alive}", "good" if alive else "bad")]
    if services.model.ping(PING_SECONDS) is None:
        chips.append(look.chip("模型正常", "good"))
    else:
        chips.append(look.chip("连不上模型", "bad"))
    chips.append(look.chip(f"正在回答 {answering}"))
    chips.append(look.chip(f"排队 {waiting}", "warn" if waiting else ""))
    chips.append(look.chip(f"{DATABASES[database.dialect]} · 版本 {VERSION}"))
    return f'<div class="state-line" aria-label="运行状态">{" ".join(chips)}</div>'


def _settings(services: Services) -> Iterator[tuple[str, str]]:
    """Every setting, what is secret left out."""
    settings = services.settings
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if is_secret(name):
            shown = "已设置" if value else "未设置"
        elif isinstance(value, bool):
            shown = "开" if value else "关"
        elif isinstance(value, tuple):
            shown = "、".join(map(str, value))
        else:
            shown = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        yield f"<code>{name.upper()}</code>", look.esc(redacted(shown))


def _section(title: str, facts: list[tuple[str, str]]) -> str:
    body = "".join(f"<div><dt>{look.esc(name)}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<h3>{look.esc(title)}</h3><dl class="facts">{body}</dl>'
