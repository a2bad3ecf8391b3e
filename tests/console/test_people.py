"""用户: found, given a quota, blocked, erased; only by admins."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import func, select

from core.store import staff, users
from core.tables import IdentityRow, TurnRow, UserRow
from tests.console.conftest import Office, go, operations, told
from tests.stores import ask, end

if TYPE_CHECKING:
    from playwright.sync_api import Locator

Enter = Callable[..., Any]


def somebody(office: Office) -> tuple[int, str]:
    """A user with an openid, a unionid and an answered question; their number and openid."""
    openid = f"o{uuid4().hex}"
    user_id = office.database.write(users.sign_in, "wxdesk0000000001", openid, f"u{openid}")
    end(office.database, ask(office.database, user_id, "我的秘密问题", writer=7, new_conversation=True))
    return user_id, openid


def row(office: Office, user_id: int) -> Any:
    return office.database.read(
        lambda connection: connection.execute(select(UserRow.__table__).where(UserRow.id == user_id)).first()
    )


def open_(tab: "Locator", user_id: int, name: str) -> None:
    tab.get_by_label("找用户").fill(name)
    tab.locator(f"[data-pick='{user_id}']").click()
    tab.locator(".title", has_text=f"用户 {user_id}").wait_for()


def test_a_user_is_found_by_any_name_given_a_quota_and_blocked(office: Office, enter: Enter) -> None:
    (user_id, openid), (other, _) = somebody(office), somebody(office)
    page = enter("王店长")
    tab = go(page, "安全", "用户")
    tab.locator(f"[data-pick='{other}']").wait_for()  # without a name: those who came last
    for name in (str(user_id), openid, openid[:12], f"u{openid}"):
        tab.get_by_label("找用户").fill(name)
        tab.locator(f"[data-pick='{other}']").wait_for(state="detached")
        tab.locator(f"[data-pick='{user_id}']").wait_for()
        tab.get_by_label("找用户").fill("")
        tab.locator(f"[data-pick='{other}']").wait_for()
    open_(tab, user_id, openid)
    assert "1 / 200 次" in tab.locator(".pairs").inner_text()
    tab.get_by_label("每天提问次数").fill("7")
    tab.get_by_role("button", name="保存次数").click()
    told(page, "每天提问次数：7 次")
    assert row(office, user_id).per_day == 7
    tab.get_by_text("/ 7 次（单独设置）").wait_for()

    tab.get_by_role("button", name="停用", exact=True).click()
    told(page, "请写下停用的原因")
    assert row(office, user_id).blocked is None
    tab.get_by_label("停用原因").fill("骂人 <b>")
    tab.get_by_role("button", name="停用", exact=True).click()
    told(page, "已停用")
    assert row(office, user_id).blocked == "骂人 <b>"
    tab.get_by_text("已停用：骂人 <b>").wait_for()
    tab.get_by_role("button", name="看已停用的").click()
    tab.locator(f"[data-pick='{user_id}']", has_text="已停用").wait_for()
    tab.get_by_role("button", name="恢复使用").click()
    told(page, "已恢复使用")
    assert row(office, user_id).blocked is None
    done = [(one.action, one.detail) for one in reversed(office.database.read(staff.operations, 3))]
    assert done == [("改提问次数", "每天 7 次"), ("停用用户", "骂人 <b>"), ("恢复用户", "")]


def test_erasing_asks_for_a_word_and_a_confirmation_and_leaves_nothing(office: Office, enter: Enter) -> None:
    user_id, openid = somebody(office)
    page = enter("王店长", again=True)
    tab = go(page, "安全", "用户")
    open_(tab, user_id, openid)
    tab.get_by_role("button", name="删除这个用户的全部数据").click()
    told(page, "请先在上面的格子里输入“删除”两个字")
    tab.get_by_label("删除全部数据").fill("删除")
    tab.get_by_role("button", name="删除这个用户的全部数据").click()
    tab.get_by_text("的 1 次提问和 1 个对话？不能恢复").wait_for()
    assert row(office, user_id) is not None
    tab.get_by_role("button", name="确认删除").click()
    told(page, "已全部删除")
    assert row(office, user_id) is None

    def left(connection: Any) -> list[int]:
        theirs = [select(func.count()).where(one.user_id == user_id) for one in (IdentityRow, TurnRow)]
        return [connection.execute(query).scalar_one() for query in theirs]

    assert office.database.read(left) == [0, 0]
    entry = operations(office, "删除用户数据")[0]
    assert (entry.target, entry.staff) == (f"用户 {user_id}", "王店长")
    assert openid not in entry.target + entry.detail
