"""用户: found by any of their names; blocked, given a quota of their own, erased."""

from typing import Any

import gradio as gr

from admin import known, look
from admin.access import Staff
from admin.confirm import Confirm
from admin.services import Services
from core.store import people
from core.store.people import Person
from core.store.users import Quota

MAX_REASON_CHARS, HIGHEST, MAX_SEARCH_CHARS = 200, 1_000_000, 128
ERASE = "删除"  # what has to be typed


class People:
    """The tab, for admins."""

    def __init__(self, services: Services, tab: gr.Tab) -> None:
        self._services = services
        settings, access, on = services.settings, services.access, services.access.on
        self._quota = Quota(settings.user_per_minute, settings.user_per_day, settings.timezone)
        shown = gr.State(None)
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                with gr.Row(elem_classes="fields"):
                    search = gr.Textbox(
                        label="找用户",
                        placeholder="编号、openid，或开头几位",
                        max_length=MAX_SEARCH_CHARS,
                        scale=4,
                    )
                    blocked = gr.Button("看已停用的", size="sm", scale=1, min_width=110)
                listed = gr.HTML(js_on_load=look.PICK)
            with (
                gr.Column(scale=2, min_width=320, elem_classes="side"),
                gr.Column(visible=False, elem_classes="card") as panel,
            ):
                view = gr.HTML(js_on_load=look.IN_VIEW)
                per_day = gr.Number(
                    label="每天提问次数",
                    info="空着：和别人一样；0：不限",
                    precision=0,
                    minimum=0,
                    maximum=HIGHEST,
                )
                set_quota = gr.Button("保存次数")
                reason = gr.Textbox(label="停用原因", max_length=MAX_REASON_CHARS)
                block = gr.Button("停用")
                unblock = gr.Button("恢复使用")
                typed = gr.Textbox(label=f"删除全部数据：先输入“{ERASE}”", max_length=10)
                erase = gr.Button("删除这个用户的全部数据…")
                one = [panel, view, per_day, reason, block, unblock, typed, shown]
                Confirm(
                    access,
                    erase,
                    self._sure_to_erase,
                    self.erase,
                    [shown, typed, search],
                    [listed, *one],
                    role="admin",
                    yes="确认删除",
                )
        on(tab.select, self.find, [search], [listed], role="admin")
        on(search.change, self.find, [search], [listed], role="admin", trigger_mode="always_last")
        on(blocked.click, self.blocked, [], [listed], role="admin")
        on(listed.click, self.open, [], one, role="admin", event=True)
        on(set_quota.click, self.set_quota, [shown, per_day, search], [listed, *one], role="admin")
        on(block.click, self.block, [shown, reason, search], [listed, *one], role="admin")
        on(unblock.click, self.unblock, [shown, search], [listed, *one], role="admin")

    # Who there is

    def find(self, who: Staff, search: str) -> str:
        name = look.typed(search)[:MAX_SEARCH_CHARS]
        return self._list(
            self._services.database.read(people.search, name, self._quota),
            "没有找到这样的用户。" if name else "还没有用户。有人用过小程序或公众号后，会出现在这里。",
        )

    def blocked(self, who: Staff) -> str:
        return self._list(self._services.database.read(people.blocked, self._quota, people.MOST), "没有停用的用户。")

    def _list(self, found: list[Person], none: str) -> str:
        return look.rows([(str(one.id), self._row(one)) for one in found], none)

    def _row(self, one: Person) -> str:
        off = look.chip("已停用", "bad") if one.blocked is not None else ""
        names = "　".join(f"{known.app(self._services.settings, a)} {openid}" for a, openid in one.identities)
        last = look.moment(one.last_seen, self._services.settings.timezone)
        return (
            f"<b>用户 {one.id}</b> {off}"
            f'<div class="soft clip">{look.esc(names)}</div>'
            f'<div class="soft">提问 {one.turns:,} 次　最近 {last}</div>'
        )

    # One of them

    def open(self, who: Staff, event: gr.EventData) -> Any:
        return self._one(look.picked(event))

    def _one(self, user_id: int) -> tuple[Any, ...]:
        one = self._services.database.read(people.get, user_id, self._quota)
        timezone, off = self._services.settings.timezone, one.blocked is not None
        limit = self._quota.per_day if one.per_day is None else one.per_day
        own = "（单独设置）" if one.per_day is not None else ""
        lines = [
            *((look.esc(known.app(self._services.settings, a)), look.esc(openid)) for a, openid in one.identities),
            ("今天提问", f"{one.used_today:,} / {f'{limit:,}' if limit else '不限'} 次{own}"),
            ("总共", f"{one.turns:,} 次提问，{one.conversations:,} 个对话，{one.complaints:,} 次投诉"),
            ("最近来过", look.moment(one.last_seen, timezone)),
            ("第一次来", look.moment(one.created_at, timezone)),
        ]
        told = look.notice(f"已停用：{one.blocked}", "bad") if off else ""
        view = f'<div class="title">用户 {one.id}</div>{told}{look.pairs(lines)}'
        return (
            gr.update(visible=True),
            view,
            one.per_day,
            gr.update(value="", visible=not off),
            gr.update(visible=not off),
            gr.update(visible=off),
            "",
            user_id,
        )

    def set_quota(self, who: Staff, shown: int | None, per_day: float | None, search: str) -> Any:
        number = None if per_day is None else max(0, min(HIGHEST, int(per_day)))
        told = "和别人一样" if number is None else "不限" if number == 0 else f"{number} 次"
        self._change(who, "改提问次数", shown, people.set_per_day, number, detail=f"每天 {told}")
        return self._after(who, shown, search, f"每天提问次数：{told}。")

    def block(self, who: Staff, shown: int | None, reason: str, search: str) -> Any:
        reason = look.typed(reason)[:MAX_REASON_CHARS]
        if not reason:
            raise gr.Error("请写下停用的原因。")
        self._change(who, "停用用户", shown, people.block, reason, detail=reason)
        return self._after(who, shown, search, "已停用，立即生效。")

    def unblock(self, who: Staff, shown: int | None, search: str) -> Any:
        self._change(who, "恢复用户", shown, people.unblock)
        return self._after(who, shown, search, "已恢复使用。")

    def _change(self, who: Staff, action: str, shown: int | None, work: Any, *args: Any, detail: str = "") -> None:
        if shown is None:
            raise gr.Error("请先在列表里选一个用户。")
        self._services.access.change(who, action, f"用户 {shown}", work, shown, *args, detail=detail)

    def _after(self, who: Staff, shown: int | None, search: str, told: str) -> Any:
        assert shown is not None
        gr.Info(told)
        return self.find(who, search), *self._one(shown)

    def _sure_to_erase(self, who: Staff, shown: int, typed: str, search: str) -> str:
        if look.typed(typed) != ERASE:
            raise gr.Error(f"请先在上面的格子里输入“{ERASE}”两个字。")
        one = self._services.database.read(people.get, shown, self._quota)
        return (
            f"永久删除用户 {shown} 的 {one.turns:,} 次提问和 {one.conversations:,} 个对话？不能恢复。"
            "没有处理完的投诉会保留其内容，但不再和这个人有关。"
        )

    def erase(self, who: Staff, shown: int, typed: str, search: str) -> Any:
        self._change(
            who, "删除用户数据", shown, lambda connection, user_id: people.get(connection, user_id, self._quota)
        )
        self._services.engine.erase(shown)
        gr.Info("这个用户的数据已全部删除。")
        hidden = gr.update(visible=False)
        return self.find(who, search), hidden, "", None, "", gr.skip(), gr.skip(), "", None
