"""The account's menu as a file: `menu pull` writes it, `menu push FILE` checks and publishes it."""

from typing import Any

MOST_BUTTONS, MOST_INNER = 3, 5
NAME_BYTES, INNER_NAME_BYTES, KEY_BYTES, URL_BYTES = 16, 60, 128, 1024
NEEDS = {"click": "key", "view": "url", "miniprogram": "appid", "media_id": "media_id", "article_id": "article_id"}


def check(menu: Any) -> list[str]:
    """What is wrong with a menu, in words; WeChat itself only answers with a number."""
    buttons = menu.get("button") if isinstance(menu, dict) else None
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= MOST_BUTTONS:
        return [f"最外层要有 button，里面是 1 到 {MOST_BUTTONS} 个按钮"]
    return [fault for number, each in enumerate(buttons, 1) for fault in _check_button(each, f"第 {number} 个按钮")]


def _check_button(button: Any, where: str, inner: bool = False) -> list[str]:
    if not isinstance(button, dict):
        return [f"{where}不是对象"]
    name, most = button.get("name"), INNER_NAME_BYTES if inner else NAME_BYTES
    if not isinstance(name, str) or not name:
        return [f"{where}没有 name"]
    faults = [f"{where}的名字超过 {most} 字节（{name}）"] if len(name.encode()) > most else []
    subs = button.get("sub_button") or []
    if subs and not inner:
        if not isinstance(subs, list) or len(subs) > MOST_INNER:
            return [*faults, f"{where}的子菜单最多 {MOST_INNER} 个"]
        return faults + [
            one for at, sub in enumerate(subs, 1) for one in _check_button(sub, f"{where}的第 {at} 个子菜单", True)
        ]
    kind = button.get("type")
    if not isinstance(kind, str) or not kind:
        return [*faults, f"{where}没有 type"]
    need = NEEDS.get(kind, "key")
    value = button.get(need)
    if not isinstance(value, str) or not value:
        return [*faults, f"{where}（{kind}）缺少 {need}"]
    limit = {"key": KEY_BYTES, "url": URL_BYTES}.get(need)
    if limit and len(value.encode()) > limit:
        faults.append(f"{where}的 {need} 超过 {limit} 字节")
    return faults


def from_wechat(info: dict[str, Any]) -> dict[str, Any]:
    """What get_current_selfmenu_info tells, in the form `menu/create` takes."""
    found = info.get("selfmenu_info")
    buttons = found.get("button", []) if isinstance(found, dict) else []
    return {"button": [_plain(button) for button in buttons if isinstance(button, dict)]}


def _plain(button: dict[str, Any]) -> dict[str, Any]:
    subs = button.get("sub_button")
    if isinstance(subs, dict):  # made in the console, they come as {"list": […]}
        subs = subs.get("list")
    kept = {name: value for name, value in button.items() if name != "sub_button" and value not in ("", None)}
    if isinstance(subs, list) and subs:
        kept["sub_button"] = [_plain(sub) for sub in subs if isinstance(sub, dict)]
    return kept
