"""员工: the accounts of the console, their roles and passwords."""

from typing import Any

import gradio as gr

from admin import look
from admin.access import Staff
from admin.confirm import Confirm
from admin.services import Services
from core import passwords
from core.errors import Conflict
from core.roles import ROLES
from core.store import staff

MEANS = {"viewer": "看日志和设置，不能改", "editor": "还可以改提示词、词库和回复", "admin": "还可以管理用户和员工"}
CHOICES = [(f"{name}：{MEANS[role]}", role) for role, name in ROLES.items()]


class Accounts:
    """The tab, for admins. Nobody changes their own account here: the last admin cannot lock everybody out."""

    def __init__(self, services: Services, tab: gr.Tab) -> None:
        self._services = services
        access, on = services.access, services.access.on
        shown = gr.State(None)
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                secret = gr.HTML()
                listed = gr.HTML(js_on_load=look.PICK)
            with gr.Column(scale=2, min_width=320, elem_classes="side"):
                with gr.Column(visible=False, elem_classes="card") as panel:
                    title = gr.HTML(js_on_load=look.IN_VIEW)
                    role = gr.Radio(CHOICES, label="角色")
                    save = gr.Button("保存角色…", variant="primary")
                    one = [panel, title, role, shown]
                    every = [secret, listed, *one]
                    given = [shown, role]
                    Confirm(access, save, self._sure_of_role, self.change_role, given, every, role="admin")
                    reset = gr.Button("重设密码…")
                    Confirm(access, reset, self._sure_to_reset, self.reset, [shown], every, role="admin")
                    remove = gr.Button("删除账号…")
                    Confirm(
                        access,
                        remove,
                        self._sure_to_remove,
                        self.remove,
                        [shown],
                        every,
                        role="admin",
                        yes="确认删除",
                    )
                    close = gr.Button("关闭")
                with gr.Column(elem_classes="card"):
                    name = gr.Textbox(label="加一个账号", placeholder="名字", max_length=staff.MAX_NAME_CHARS)
                    new_role = gr.Radio(CHOICES, value="viewer", label="角色")
                    add = gr.Button("添加", variant="primary")
        on(tab.select, self.load, [], every, role="admin")
        on(listed.click, self.open, [], one, role="admin", event=True)
        on(close.click, self.close, [], one, role="admin")
        on(add.click, self.add, [name, new_role], [*every, name], role="admin", scroll_to_output=True)

    def load(self, who: Staff) -> Any:
        return self._again("")

    def _again(self, secret: str) -> list[Any]:
        rows = self._services.database.read(staff.everyone)
        return [secret, look.rows([(row.name, self._row(row)) for row in rows], ""), *self._closed()]

    def _closed(self) -> list[Any]:
        return [gr.update(visible=False), "", gr.skip(), None]

    def _row(self, row: Any) -> str:
        since = look.moment(row.created_at, self._services.settings.timezone)
        made = f'<span class="soft about">{since} 加入</span>'
        kind = "good" if row.role == "admin" else ""
        return f"<b>{look.esc(row.name)}</b> {look.chip(ROLES[row.role], kind)}{made}"

    def open(self, who: Staff, event: gr.EventData) -> Any:
        row = self._get(str(event._data["pick"]))
        if row.name == who.name:
            told = "这是你自己的账号。改密码请用右上角的“修改密码”；改角色或删除，请另一位管理员来做。"
            raise gr.Error(told)
        return gr.update(visible=True), f'<div class="title">{look.esc(row.name)}</div>', row.role, row.name

    def close(self, who: Staff) -> Any:
        return self._closed()

    def _get(self, name: str | None) -> Any:
        row = self._services.database.read(staff.get, name or "")
        if row is None:
            raise gr.Error("这个账号已经不在了。")
        return row

    # Changes

    def add(self, who: Staff, name: str, role: str) -> Any:
        name = look.typed(name)
        if not staff.is_name(name) or role not in ROLES:
            most = f"名字为 1 到 {staff.MAX_NAME_CHARS} 个字符。"
            raise gr.Error(most)
        password = passwords.random_password()
        try:
            self._services.access.change(
                who, "加账号", name, staff.add, name, passwords.hashed(password), role, detail=ROLES[role]
            )
        except Conflict:
            raise gr.Error(f"已经有叫 {look.esc(name)} 的账号。") from None
        return [*self._again(_secret(name, password)), ""]

    def _sure_of_role(self, who: Staff, name: str, role: str) -> str:
        row = self._get(name)
        return f"把{look.esc(name)}从“{ROLES[row.role]}”改为“{ROLES[role]}”？会立即退出登录。"

    def change_role(self, who: Staff, name: str, role: str) -> Any:
        row = self._get(name)
        self._services.access.change(
            who, "改角色", name, staff.change_role, row.id, role, detail=f"{ROLES[row.role]} → {ROLES[role]}"
        )
        gr.Info(f"{look.esc(name)}现在是“{ROLES[role]}”。")
        return self._again("")

    def _sure_to_reset(self, who: Staff, name: str) -> str:
        return f"给{look.esc(self._get(name).name)}一个新密码？旧密码立即失效，已登录的会退出。"

    def reset(self, who: Staff, name: str) -> Any:
        row, password = self._get(name), passwords.random_password()
        self._services.access.change(who, "重设密码", name, staff.set_password, row.id, passwords.hashed(password))
        return self._again(_secret(name, password))

    def _sure_to_remove(self, who: Staff, name: str) -> str:
        return f"删除账号{look.esc(self._get(name).name)}？会立即退出登录，以后不能再登录。"

    def remove(self, who: Staff, name: str) -> Any:
        self._services.access.change(who, "删除账号", name, staff.remove, self._get(name).id)
        gr.Info(f"已删除账号{look.esc(name)}。")
        return self._again("")


def _secret(name: str, password: str) -> str:
    """A password as it is shown once."""
    return (
        f'<div class="told good">{look.esc(name)}的密码（只显示这一次，请现在告诉本人，登录后可以自己改）：'
        f'<div class="secret">{look.esc(password)}</div></div>'
    )
