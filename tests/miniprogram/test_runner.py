"""The runner itself: what pages and components do in it is what they do in WeChat."""

import pytest

from tests.miniprogram.builds import HERE

PARTS = HERE / "fixtures" / "parts"


@pytest.fixture
def new_parts(new_phone, builder):
    """Phones with the fixture's mini-program."""
    build = builder.build("parts", PARTS)
    return lambda **options: new_phone(build, **options)


@pytest.fixture
def parts(new_parts):
    return new_parts().open("pages/parts/parts")


def log(phone):
    return phone.js("() => phone.page().log")


def wait_for_log(phone, *lines):
    phone.page.wait_for_function("lines => lines.every((line) => phone.page().log.includes(line))", arg=list(lines))


def style(phone, selector, name):
    return phone.js("([s, n]) => getComputedStyle(document.querySelector(s))[n]", [selector, name])


def test_a_page_is_loaded_shown_and_ready(new_parts):
    phone = new_parts().open("pages/parts/parts", n="7", name="%E4%BD%A0")
    wait_for_log(phone, "ready")
    assert log(phone)[:2] == ['load {"n":"7","name":"%E4%BD%A0"}', "show"]
    assert phone.js("() => phone.app.log")[:2] == ["launch pages/parts/parts", "show"]
    phone.page.wait_for_function("() => phone.page().width > 300")


def test_templates_scripts_and_lists_are_rendered(parts):
    parts.see("你好，世界", "共2 1 a#b", "0 甲", "1 乙", "便笺：", "插槽")


def test_a_tap_bubbles_unless_it_is_caught(parts):
    parts.tap("冒泡")
    parts.tap("里面")
    wait_for_log(parts, "tap inner inner object")
    taps = [line for line in log(parts) if line.startswith("tap")]
    assert taps == ["tap bubbling bubbling object", "tap bubbling outer object", "tap inner inner object"]


def test_a_component_has_properties_observers_and_events(parts):
    parts.tap("便笺： 0 插槽")
    wait_for_log(parts, "chosen 便笺 2")
    parts.js("() => phone.page().setData({ mark: '好' })")
    parts.see("便笺：好 1")
    assert parts.js("() => phone.page().selectComponent('#note').data.seen") == 1


def test_styles_of_a_component_stay_its_own(parts):
    assert style(parts, "[class*='--box']", "color") == "rgb(255, 0, 0)"
    assert style(parts, ".inner", "color") == "rgb(0, 128, 0)", "an imported sheet"
    assert style(parts, ".row", "borderTopColor") == "rgb(153, 153, 153)", "by id"


@pytest.mark.parametrize(("width", "expected"), [(390, "20px"), (320, "17px")])
def test_rpx_are_rounded_down_as_the_framework_does(new_parts, width, expected):
    phone = new_parts(width=width, sharp=True).open("pages/parts/parts")
    assert style(phone, ".dot", "width") == expected
    assert style(phone, ".hair", "width") == "0.5px"


def test_pictures_come_from_the_package(parts):
    wait_for_log(parts, "loaded 96")


def test_fields_tell_what_is_typed(parts):
    parts.type("你好", into="写点什么")
    parts.press_enter("写点什么")
    wait_for_log(parts, "focus", "typed 你好", "confirmed 你好")
    parts.type("一\n二\n三", into="多行")
    wait_for_log(parts, "lines 3")
    parts.type("字" * 30, into="多行")
    assert len(parts.field("多行").input_value()) == 20, "maxlength"


def test_a_field_follows_the_data(parts):
    parts.js("() => phone.page().setData({ value: '来自数据' })")
    assert parts.field("写点什么").input_value() == "来自数据"


def test_a_disabled_button_has_no_tap(parts):
    parts.find("不能点").tap(force=True)
    parts.tap("冒泡")
    wait_for_log(parts, "tap bubbling outer object")
    assert not [line for line in log(parts) if "undefined" in line]


def test_a_finger_presses_moves_and_leaves(parts):
    parts.press("按住")
    wait_for_log(parts, "longpress 1 1")
    parts.slide(-60)
    parts.release()
    wait_for_log(parts, "touchstart 1 1", "touchmove 1 1", "touchend 0 1")


def test_a_list_scrolls_to_what_it_is_told(parts):
    parts.js("() => phone.page().setData({ target: 'line-39' })")
    wait_for_log(parts, "lower")
    parts.page.wait_for_function("() => phone.page().top > 500")
    parts.js("() => phone.page().setData({ target: 'nowhere' })")
    parts.page.wait_for_function("() => phone.warnings.length")
    assert "nothing has the id nowhere" in parts.js("() => phone.warnings.pop()")


def test_the_context_of_a_list_can_be_asked_for(parts):
    parts.js("""() => phone.wx.createSelectorQuery().select('.list')
        .node(({ node }) => node.scrollTo({ top: 200, animated: false })).exec()""")
    parts.page.wait_for_function("() => phone.page().top === 200")


def test_rich_text_shows_harmless_tags_only(parts):
    html = parts.js("() => [...document.querySelectorAll('wx-rich-text')].map((each) => each.innerText)")
    assert html == ["红粗", "1 < 2"]
    assert parts.js("() => document.querySelector('wx-rich-text').innerHTML.includes('onclick')") is False


def test_choices_tell_what_is_chosen(parts):
    parts.tap("乙")
    parts.tap("开关")
    parts.tap("选颜色")
    parts.tap("绿")
    wait_for_log(parts, "changed 乙", "changed true", "changed 1")


def test_sharing_asks_the_page(parts):
    assert parts.share()["title"] == "来自menu"
    parts.tap("分享")
    parts.page.wait_for_function("() => phone.shared")
    assert parts.js("() => phone.shared.title") == "来自buttoncard"


def test_pages_are_stacked(parts):
    wait_for_log(parts, "ready")
    parts.tap("去第二页")
    parts.see("第二页 你")
    assert parts.page.title() == "第二页"
    assert style(parts, "[is='pages/second/second'] .inner, wx-page:last-of-type .inner", "color") != "rgb(0, 128, 0)"
    assert parts.js("() => phone.bar") == {
        "title": "第二页", "background": "#07c160", "text": "white", "custom": False,
    }  # fmt: skip
    parts.back()
    parts.see("冒泡")
    assert log(parts)[-2:] == ["hide", "show"]
    assert "second unloaded" in parts.js("() => phone.app.log")


def test_what_cannot_be_opened_fails(parts):
    fault = parts.js("() => phone.wx.navigateTo({ url: '/pages/nowhere' }).catch((fault) => fault.errMsg)")
    assert fault == 'navigateTo:fail page "pages/nowhere" is not found'
    assert "first page" in parts.js("() => phone.wx.navigateBack().catch((fault) => fault.errMsg)")


def test_what_a_phone_lacks_is_missing(parts):
    assert set(parts.js("() => phone.page().missing()")) == {"undefined"}


def test_set_data_is_counted_and_checked(parts):
    parts.forget_setdata()
    parts.js("() => phone.page().setData({ mark: '字' })")
    assert parts.setdata().calls == 2, "the page's, and the component's that follows"
    assert parts.js("() => phone.updates[0].bytes") == len('{"mark":"字"}'.encode())
    parts.js("() => phone.page().setData({ mark: undefined })")
    assert "mark is undefined" in parts.js("() => phone.warnings.pop()")
    parts.js("() => phone.page().setData({ big: 'x'.repeat(1100000) })")
    assert "more than 1 MB" in parts.js("() => phone.errors.pop()")


def test_errors_of_pages_are_seen(parts):
    parts.js("() => { phone.page().tapped = () => { throw new Error('oops'); }; }")
    parts.js("() => phone.guard('a test', () => phone.page().tapped())")
    assert "oops" in parts.js("() => phone.errors.pop()")


def test_in_the_background_nothing_runs(parts):
    parts.js("() => phone.page().tick(20)")
    parts.page.wait_for_function("() => phone.page().ticks > 2")
    parts.faults(background_ms=50)
    parts.leave()
    parts.page.wait_for_function("() => phone.suspended")
    before = parts.js("() => phone.page().ticks")
    parts.pass_time(0.2)
    assert parts.js("() => phone.page().ticks") == before
    parts.come_back()
    parts.page.wait_for_function(f"() => phone.page().ticks > {before + 2}")
    assert log(parts)[-2:] == ["hide", "show"]
    assert parts.js("() => phone.app.log").count("show") == 2


def test_the_theme_changes_while_a_page_is_open(new_parts):
    phone = new_parts(dark=True).open("pages/parts/parts")
    assert style(phone, "wx-page", "color") == "rgb(238, 238, 238)"
    assert phone.js("() => phone.bar.background") == "#111111"
    assert phone.js("() => phone.wx.getAppBaseInfo().theme") == "dark"
    phone.dark(False)
    phone.page.wait_for_function("() => phone.app.log.includes('theme light')")
    assert phone.js("() => phone.bar.background") == "#ffffff"


def test_a_large_font_reaches_pages_that_ask_for_it(new_parts):
    phone = new_parts(large_font=True).open("pages/parts/parts")
    assert style(phone, "html", "fontSize") == "23px"


def test_the_keyboard_is_announced(parts):
    parts.field("写点什么").focus()
    parts.keyboard(300)
    wait_for_log(parts, "keyboard 300")
    parts.keyboard(0)


def test_the_audit_finds_what_is_pale_small_or_cut_off(new_parts):
    phone = new_parts(width=320).open("pages/parts/parts")
    found = "\n".join(phone.audit())
    assert "contrast 1.92 < 4.5: wx-view.pale “看不清的字”" in found
    assert "wx-view.inner “里面”" in found and "< 44" in found
    assert "cut off: wx-view.clipped" in found
    assert "list" not in found


def test_what_is_on_the_screen_is_named_when_something_is_not(parts):
    with pytest.raises(AssertionError, match="冒泡"):
        parts.tap("没有的按钮", within=0.2)
    with pytest.raises(AssertionError, match=r"not seen.*没有的字[\s\S]*冒泡"):
        parts.see("没有的字", within=0.2)
