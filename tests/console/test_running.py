"""运行: the state of everything, and of the settings what may be seen."""

import re
from collections.abc import Callable
from typing import Any

from tests.console.conftest import Office

Enter = Callable[..., Any]


def test_the_line_tells_whether_everything_runs(office: Office, enter: Enter) -> None:
    page = enter("小陈")
    line = page.locator("#state .state-line")
    line.wait_for()
    assert "进程 1" in line.inner_text() and "模型正常" in line.inner_text()


def test_the_tab_tells_of_processes_model_and_database_and_to_admins_the_settings(
    office: Office, enter: Enter
) -> None:
    seen = {}
    for name in ("小陈", "王店长"):
        page = enter(name, again=True)
        page.get_by_role("tab", name="运行").click()
        page.get_by_text("对话保留").wait_for()
        seen[name] = page.get_by_role("tabpanel").filter(has_text="对话保留").inner_text()
        assert office.cogito.url in seen[name]
        assert str(office.console.popen.pid) in seen[name]
    assert "MODEL_API_KEY" not in seen["小陈"]
    assert "MODEL_API_KEY\t已设置" in seen["王店长"]
    assert "BRAND_NAME\t青禾书店" in seen["王店长"]
    assert "CHAT_LOGIN\t开" in seen["王店长"] and not re.search(r"\t(True|False|30\.0)\n", seen["王店长"])
    for text in seen.values():
        assert "sk-very-secret" not in text
