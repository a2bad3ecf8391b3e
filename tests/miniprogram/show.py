"""Look at a page of the mini-program: real pages, real API, a model that says what it is told to.

python -m tests.miniprogram.show pages/chat/chat --out /tmp/x.png --width 320 --dark --large-font
python -m tests.miniprogram.show pages/chat/chat --do "type 你好 [tokens:50@0.1]" --do "tap 发送" --do "see 1 2"

Steps: type TEXT · tap NAME · see TEXT · gone TEXT · wait SECONDS · swipe PIXELS · back · hear LEVEL… · press NAME ·
release · keyboard HEIGHT · faults NAME=VALUE… · background SECONDS · shot FILE · text · audit · js CODE
"""

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.house import housing
from tests.loopback import serving
from tests.miniprogram.builds import MINIPROGRAM, Builder, BuildFailed, chromium
from tests.miniprogram.phone import FLAGS, Phone, Place, Tabs
from tests.miniprogram.site import Ears, backend_settings, create_site
from tests.server import Process, answers, free_port, wait_until


def main() -> None:
    options = _arguments()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="show-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            Builder(folder).build("show", Path(options.miniprogram))
        except BuildFailed as fault:
            print(fault, file=sys.stderr)
        port = free_port()
        desk = f"http://127.0.0.1:{port}"
        simulator = Process("simulator", folder, simulator_port=port)
        stack.callback(simulator.stop)
        wait_until(lambda: answers(desk), 20, "the start of the simulator")
        ears = stack.enter_context(serving(Ears().app))
        settings = backend_settings(desk, f"{ears}/v1/audio/transcriptions")
        house = stack.enter_context(housing(folder, desk, settings))
        phones: dict[str, Any] = {}
        site = stack.enter_context(serving(create_site(folder, house.api.url, phones)))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        stack.callback(browser.close)
        phone = Phone(
            Tabs(browser),
            Place(site, house.api.url, desk, phones),
            "show",
            width=options.width,
            dark=options.dark,
            large_font=options.large_font,
            sharp=True,
            cloud=options.cloud,
            **_pairs(options.faults),
        )
        phone.open(options.page)
        for step in options.do:
            _perform(phone, step)
        phone.page.wait_for_timeout(options.settle * 1000)
        if options.out:
            phone.screenshot(Path(options.out).stem, Path(options.out).resolve().parent)
        for trouble in phone.troubles():
            print("!", trouble, file=sys.stderr)
        if options.audit:
            print(*phone.audit(), sep="\n")
        updates = phone.setdata()
        print(f"setData: {updates.calls} calls, {updates.bytes} bytes, at most {updates.rate} a second")
        house.cogito.release()


def _perform(phone: Phone, step: str) -> None:
    verb, _, rest = step.partition(" ")
    match verb:
        case "type" | "tap" | "see" | "gone" | "press" | "ask":
            getattr(phone, verb)(rest)
        case "wait":
            phone.pass_time(float(rest))
        case "swipe" | "background" | "keyboard" | "slide":
            getattr(phone, verb)(float(rest))
        case "back" | "release" | "leave" | "come_back":
            getattr(phone, verb)()
        case "hear":
            phone.hear(*map(float, rest.split()))
        case "faults":
            phone.faults(**_pairs(rest.split()))
        case "shot":
            phone.screenshot(Path(rest).stem, Path(rest).resolve().parent)
        case "js":
            print(phone.js(rest))
        case "text":
            print(phone.text())
        case "audit":
            print(*phone.audit(), sep="\n")
        case _:
            sys.exit(f"no step is called {verb}; see --help")


def _pairs(written: list[str]) -> dict[str, object]:
    return {name: json.loads(value) for name, _, value in (pair.partition("=") for pair in written)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", nargs="?", default="pages/chat/chat")
    parser.add_argument("--out", help="the picture to write")
    parser.add_argument("--width", type=int, default=390)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--large-font", action="store_true")
    parser.add_argument("--cloud", action="store_true", help="callContainer in place of wx.request")
    parser.add_argument("--faults", nargs="*", default=[], metavar="NAME=VALUE", help="from the start on")
    parser.add_argument("--do", action="append", default=[], metavar="STEP")
    parser.add_argument("--settle", type=float, default=0.3, help="seconds before the picture is taken")
    parser.add_argument("--audit", action="store_true", help="contrast, size of targets, things cut off")
    parser.add_argument("--miniprogram", default=str(MINIPROGRAM), help="another folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
