"""How the console looks: its theme, its style sheet, and the small pieces of HTML the tabs are made of.

Whatever comes from users or staff goes through `esc` before it stands in HTML.
"""

import contextlib
import html
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import gradio as gr

from core.errors import NotFound

FONTS = ["system-ui", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif"]
# Once at the start of the page; whose session has ended is asked to log in again. Gradio heads its messages with
# their kind, in English, whatever title they are given.
START = """() => {
  document.documentElement.lang = 'zh-CN'
  const plain = window.fetch
  window.fetch = async (...asked) => {
    const answer = await plain(...asked)
    if (answer.status === 401) location.assign('/login')
    return answer
  }
  const titles = {Info: '好了', Success: '好了', Warning: '请留意', Error: '没有完成'}
  new MutationObserver(() => {
    for (const title of document.querySelectorAll('.toast-title')) {
      const text = title.firstChild
      const told = text && titles[text.data.trim()]
      if (told) text.data = told + ' '
    }
  }).observe(document.body, {childList: true, subtree: true})
}"""

# Rows that are clicked: the HTML around carries `data-pick`; the handler gets it as `event._data["pick"]`.
PICK = """
element.addEventListener('click', (event) => {
  const row = event.target.closest('[data-pick]')
  if (row) trigger('click', {pick: row.dataset.pick})
})
element.addEventListener('keydown', (event) => {
  const row = event.target.closest('[data-pick]')
  if (!row || (event.key !== 'Enter' && event.key !== ' ')) return
  event.preventDefault()
  trigger('click', {pick: row.dataset.pick})
})
"""

# What is opened from a list comes into view: on a phone it stands below the list.
IN_VIEW = """
const show = () => setTimeout(() => {
  const top = element.getBoundingClientRect().top
  if (props.value && (top < 0 || top > innerHeight / 2)) scrollTo({top: scrollY + top - 40, behavior: 'smooth'})
}, 100)
watch('value', show)
show()
"""

# Rows that are ticked, and a button for all that are: the handler gets their ids as `event._data["ids"]`.
CHOOSE = """
const boxes = () => [...element.querySelectorAll('[data-choose]')]
const ticked = () => boxes().filter((box) => box.checked)
const told = () => {
  const go = element.querySelector('[data-go]')
  if (!go) return
  const text = ticked().length ? '修改或删除这 ' + ticked().length + ' 个' : '勾选后可以修改或删除'
  if (go.textContent !== text) go.textContent = text
  go.disabled = !ticked().length
}
element.addEventListener('change', (event) => {
  if (event.target.matches('[data-all]')) boxes().forEach((box) => { box.checked = event.target.checked })
  boxes().forEach((box) => { box.tickedFor = box.checked ? box.dataset.choose : '' })
  told()
})
element.addEventListener('click', (event) => {
  if (event.target.closest('[data-go]')) trigger('select', {ids: ticked().map((box) => box.dataset.choose)})
})
// A new page of the list takes the boxes of the old one: what was ticked for another word is ticked no more.
new MutationObserver(() => {
  const all = element.querySelector('[data-all]')
  for (const box of ticked()) {
    if (box.tickedFor !== box.dataset.choose) box.checked = all.checked = false
  }
  told()
}).observe(element, {childList: true, subtree: true, attributes: true, attributeFilter: ['data-choose']})
"""


def style(color: str) -> str:
    """The style sheet, in the brand's colour."""
    return f":root {{ --brand: {color} }}\n" + (Path(__file__).parent / "console.css").read_text(encoding="utf-8")


# A field for a day and a time, with the calendar of whatever it is shown on; its value is read when it is left.
MOMENT = """
const input = () => element.querySelector('input')
const take = () => {
  const value = input().validity.badInput ? '?' : input().value
  if (value !== props.value) props.value = value
}
element.addEventListener('focusout', take)
element.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter') return
  take()
  trigger('submit')
})
"""


def theme(color: str) -> gr.themes.Base:
    """One calm theme in the brand's colour, light and dark; small print is readable in both."""
    ink, soft, soft_dark, line, line_dark = on(color), "#566070", "#aab2bf", "#dfe2e8", "#3a404b"
    return gr.themes.Base(
        neutral_hue="slate", font=FONTS, font_mono=["ui-monospace", "Menlo", "Consolas", *FONTS[1:]]
    ).set(
        body_background_fill="#f6f7f9",
        body_background_fill_dark="#14161b",
        body_text_color="#1d2129",
        body_text_color_dark="#eceef2",
        body_text_color_subdued=soft,
        body_text_color_subdued_dark=soft_dark,
        body_text_size="15px",
        color_accent=color,
        link_text_color=color,
        link_text_color_dark="#8ec9ff",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1d2026",
        block_border_color=line,
        block_border_color_dark=line_dark,
        block_label_text_color=soft,
        block_label_text_color_dark=soft_dark,
        block_title_text_color=soft,
        block_title_text_color_dark=soft_dark,
        block_info_text_color=soft,
        block_info_text_color_dark=soft_dark,
        block_shadow="none",
        block_border_width="1px",
        block_radius="12px",
        input_background_fill="#ffffff",
        input_background_fill_dark="#14161b",
        input_border_color=line,
        input_border_color_dark=line_dark,
        input_border_color_focus=color,
        input_border_color_focus_dark=color,
        input_border_width="1px",
        input_placeholder_color="#6a7382",
        input_placeholder_color_dark="#939cab",
        input_radius="10px",
        button_large_radius="10px",
        button_small_radius="9px",
        button_primary_background_fill=color,
        button_primary_background_fill_hover=color,
        button_primary_background_fill_dark=color,
        button_primary_background_fill_hover_dark=color,
        button_primary_border_color=color,
        button_primary_border_color_dark=color,
        button_primary_text_color=ink,
        button_primary_text_color_hover=ink,
        button_primary_text_color_dark=ink,
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="#eef0f3",
        button_secondary_background_fill_dark="#262a32",
        button_secondary_background_fill_hover_dark="#2f343e",
        button_secondary_border_color=line,
        button_secondary_border_color_dark=line_dark,
        button_border_width="1px",
        slider_color=color,
        checkbox_background_color_selected=color,
        checkbox_border_color_selected=color,
        checkbox_label_background_fill="transparent",
        checkbox_label_background_fill_dark="transparent",
        checkbox_background_color_selected_dark=color,
        button_cancel_background_fill="#b42318",
        button_cancel_background_fill_hover="#912018",
        button_cancel_background_fill_dark="#b42318",
        button_cancel_background_fill_hover_dark="#912018",
        button_cancel_text_color="#ffffff",
        button_cancel_text_color_dark="#ffffff",
        button_cancel_text_color_hover="#ffffff",
        button_cancel_text_color_hover_dark="#ffffff",
    )


def on(color: str) -> str:
    """Black or white, whichever reads better on this colour (#rrggbb)."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return "#ffffff" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.179 else "#000000"


def esc(value: object) -> str:
    """Text as HTML shows it."""
    return html.escape(str(value), quote=True)


def storable(value: str) -> str:
    """Text without what no database and no answer can hold: NUL, and halves of characters."""
    return value.replace("\0", "").encode(errors="replace").decode()


def typed(value: str | None) -> str:
    """What somebody has typed into a field."""
    return (value or "").strip()


def number(name: str, written: str | None, least: float, most: float) -> float | None:
    """The number in a field called `name`, which may be left empty; raises gr.Error where there is something else."""
    if not (text := typed(written)):
        return None
    with contextlib.suppress(ValueError):
        if least <= float(text) <= most:
            return float(text)
    raise gr.Error(f"{name}应是 {least:g} 到 {most:g} 之间的数，或者空着。")


def chip(text: str, kind: str = "") -> str:
    """A small label; `kind` is good, warn, bad or nothing."""
    return f'<span class="chip {kind}">{esc(text)}</span>'


def moment_field(label: str, **options: Any) -> gr.HTML:
    """A field whose value is like `2026-01-31T08:00`, empty, or `?` where it is not filled in to the end."""
    template = f'<label class="moment"><span>{label}</span><input type="datetime-local" value="${{value}}"></label>'
    return gr.HTML("", html_template=template, js_on_load=MOMENT, elem_classes="moment-box", **options)


def notice(text: str, kind: str = "warn") -> str:
    """Something to heed; `kind` as of a chip."""
    return f'<p class="told {kind}">{esc(text)}</p>'


def text(value: str) -> str:
    """A text as it was written, line by line."""
    return f'<div class="text">{esc(value)}</div>'


def empty(text: str) -> str:
    """What stands where there is nothing to show."""
    return f'<p class="empty">{esc(text)}</p>'


def rows(items: Iterable[tuple[str, str]], none: str) -> str:
    """A list of rows that can be picked: `(pick, HTML of the row)`."""
    body = "".join(
        f'<div class="pick" role="button" tabindex="0" data-pick="{esc(pick)}">{inside}</div>'
        for pick, inside in items
    )
    return f'<div class="rows">{body}</div>' if body else empty(none)


def plain_rows(items: Iterable[str], none: str) -> str:
    """The same list for somebody who may only read it."""
    body = "".join(f'<div class="pick still">{inside}</div>' for inside in items)
    return f'<div class="rows">{body}</div>' if body else empty(none)


def choices(items: Sequence[tuple[str, str]], none: str, *, choosing: bool) -> str:
    """A list whose rows can be ticked (`CHOOSE`), if they may be: `(id, HTML of the row)`."""
    if not choosing or not items:
        return plain_rows([inside for _, inside in items], none)
    body = "".join(
        f'<label class="pick"><input type="checkbox" data-choose="{esc(one)}"><span>{inside}</span></label>'
        for one, inside in items
    )
    bar = (
        '<div class="bar"><label><input type="checkbox" data-all> 选中本页</label>'
        '<button type="button" data-go disabled>勾选后可以修改或删除</button></div>'
    )
    return f'<div class="rows">{bar}{body}</div>'


def picked(event: gr.EventData) -> int:
    """The id of the row that was clicked; raises NotFound for what no row says."""
    pick = event._data.get("pick") if isinstance(event._data, dict) else None
    if not isinstance(pick, str) or not pick.isascii() or not pick.isdigit() or len(pick) > 18:
        raise NotFound("no such row")
    return int(pick)


def table(head: Sequence[str], body: Iterable[Sequence[str]], none: str) -> str:
    """A table that scrolls sideways in itself where it must; the cells are HTML."""
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in body)
    if not lines:
        return empty(none)
    titles = "".join(f"<th>{esc(title)}</th>" for title in head)
    head_row = f"<thead><tr>{titles}</tr></thead>"
    return f'<div class="scroll"><table class="plain">{head_row}<tbody>{lines}</tbody></table></div>'


def pairs(lines: Iterable[tuple[str, str]]) -> str:
    """What is known about something: `(name, value)`, both HTML."""
    return f'<dl class="pairs">{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in lines)}</dl>'


def moment(ms: int | None, timezone: str, *, seconds: bool = False) -> str:
    """A time as staff read it: today's without the date, this year's without the year."""
    if ms is None:
        return "—"
    zone = ZoneInfo(timezone)
    then, now = datetime.fromtimestamp(ms / 1000, zone), datetime.now(zone)
    clock = f"{then:%H:%M:%S}" if seconds else f"{then:%H:%M}"
    if then.date() == now.date():
        return clock
    day = f"{then.month}月{then.day}日"
    return f"{day} {clock}" if then.year == now.year else f"{then.year}年{day} {clock}"


def seconds(ms: float | None) -> str:
    """A duration."""
    return "—" if ms is None else f"{ms / 1000:.2f} 秒" if ms < 10_000 else f"{ms / 1000:.1f} 秒"
