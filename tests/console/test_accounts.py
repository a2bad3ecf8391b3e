"""员工: accounts are added, changed and removed, and their sessions end at once."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import requests

from core.store import staff
from tests.console.conftest import PASSWORD, Office, go, hashed, operations, told

if TYPE_CHECKING:
    from playwright.sync_api import Locator

Enter = Callable[..., Any]


def account(office: Office, role: str = "viewer") -> str:
    """A new account with the password of all; its name."""
    name = f"临时{uuid4().hex[:6]}"
    office.database.write(staff.add, name, hashed(), role)
    return name


def logs_in(office: Office, name: str, password: str) -> bool:
    form = {"name": name, "password": password}
    answer = requests.post(f"{office.url}/login", data=form, allow_redirects=False, timeout=20)
    return answer.status_code == 303


def inside(office: Office, token: str) -> bool:
    answer = requests.get(office.url, cookies={"console_session": token}, allow_redirects=False, timeout=20)
    return answer.status_code == 200


def open_(tab: "Locator", name: str) -> None:
    tab.locator(".title").wait_for(state="hidden")
    tab.locator(f"[data-pick='{name}']").click()
    tab.locator(".title", has_text=name).wait_for()


def test_an_account_is_added_with_a_password_that_is_shown_once(office: Office, enter: Enter) -> None:
    page = enter("王店长")
    tab = go(page, "员工")
    name = f"新来的{uuid4().hex[:6]}"
    tab.get_by_label("加一个账号").fill(name)
    tab.get_by_role("radio", name="编辑").last.check()
    tab.get_by_role("button", name="添加").click()
    password = tab.locator(".secret").inner_text()
    tab.locator(f"[data-pick='{name}']", has_text="编辑").wait_for()
    assert logs_in(office, name, password)
    assert office.database.read(staff.get, name).role == "editor"
    go(page, "操作记录")
    tab = go(page, "员工")
    tab.locator(".secret").wait_for(state="detached")
    assert all(password not in one.detail + one.target for one in office.database.read(staff.operations, 200))

    tab.get_by_label("加一个账号").fill(name)
    tab.get_by_role("button", name="添加").click()
    told(page, f"已经有叫 {name} 的账号")
    tab.get_by_label("加一个账号").fill("  ")
    tab.get_by_role("button", name="添加").click()
    told(page, "名字为 1 到 64 个字符")


def test_role_password_and_removal_end_the_sessions_at_once(office: Office, enter: Enter) -> None:
    name = account(office)
    tab = go(enter("王店长", again=True), "运行", "员工")
    page = tab.page

    token = office.session(name)
    open_(tab, name)
    tab.get_by_role("radio", name="编辑").first.check()
    tab.get_by_role("button", name="保存角色").click()
    tab.get_by_text(f"把{name}从“查看”改为“编辑”？").wait_for()
    assert inside(office, token)
    tab.get_by_role("button", name="确认").click()
    told(page, f"{name}现在是“编辑”")
    assert not inside(office, token) and office.database.read(staff.get, name).role == "editor"
    assert operations(office, "改角色")[0].detail == "查看 → 编辑"

    token = office.session(name)
    open_(tab, name)
    tab.get_by_role("button", name="重设密码").click()
    tab.get_by_role("button", name="确认").click()
    password = tab.locator(".secret").inner_text()
    assert not inside(office, token) and not logs_in(office, name, PASSWORD) and logs_in(office, name, password)

    token = office.session(name)
    open_(tab, name)
    tab.get_by_role("button", name="删除账号").click()
    tab.get_by_role("button", name="确认删除").click()
    told(page, f"已删除账号{name}")
    assert not inside(office, token) and office.database.read(staff.get, name) is None
    tab.locator(f"[data-pick='{name}']").wait_for(state="detached")


def test_nobody_changes_their_own_account_here(office: Office, enter: Enter) -> None:
    tab = go(enter("王店长", again=True), "员工")
    tab.locator("[data-pick='王店长']").click()
    told(tab.page, "这是你自己的账号")
    assert not tab.get_by_role("button", name="删除账号").is_visible()
