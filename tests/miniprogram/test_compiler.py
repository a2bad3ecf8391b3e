"""What the compiler and the type checker refuse before anything runs. Both are `npm run lint`."""

import json
import subprocess

import pytest

from tests.miniprogram.builds import HERE, MINIPROGRAM

APP = {"pages": ["pages/a/a"]}
SOUND = {
    "app.json": json.dumps(APP),
    "app.js": "App({})",
    "pages/a/a.json": "{}",
    "pages/a/a.js": "Page({})",
    "pages/a/a.wxml": "<view>字</view>",
    "pages/a/a.wxss": ".a { color: #000000; }",
}


def node(*arguments):
    return subprocess.run(
        ["node", *map(str, arguments)], cwd=HERE, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def lint(equipment, tmp_path):
    """Lint a small sound mini-program in which these files are different; what is said about it."""

    def run(**changed):
        files = SOUND | {name.replace("__", "/").replace("_", "."): text for name, text in changed.items()}
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return node("runner/lint.mjs", tmp_path).stderr

    return run


def test_what_is_sound_passes(lint):
    assert lint() == ""


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("pages__a__a_wxml", "<view>字", "pages/a/a.wxml:1:"),
        ("pages__a__a_wxml", "<view>\n<chat-bubble /></view>", "pages/a/a.wxml:2:1: error: <chat-bubble> is neither"),
        ("pages__a__a_wxml", "<div>字</div>", "<div> is neither"),
        ("pages__a__a_wxml", '<wxs module="m" src="./m.wxs"></wxs>', "pages/a/m.wxs:1:1: error: is missing"),
        ("pages__a__a_json", '{ "usingComponents": { "x": "/components/x" } }', "there is no /components/x"),
        ("pages__a__a_json", "{", "pages/a/a.json:1:1: error:"),
        ("pages__a__a_js", "Page({", "pages/a/a.js:1:"),
        ("pages__a__a_js", "require('./b'); Page({})", "require: there is no ./b"),
        ("pages__a__a_js", "Page({ price: /(?<=¥)\\d+/ })", "lookbehind"),
        ("pages__a__a_js", "Page({ onLoad() { wx.request({}); } })", "only services/ talks to the network"),
        ("pages__a__a_wxss", "@media (prefers-color-scheme: dark) { .a { color: #fff; } }", '"darkmode": true'),
        ("pages__a__a_wxss", ".a { background: url(/images/a.png); }", "a phone loads no local files"),
        ("pages__a__a_wxss", ".a { color: ", "pages/a/a.wxss:1:"),
        ("utils__lost_js", "module.exports = 1;", "utils/lost.js:1:1: error: nothing requires it"),
        ("images__big_svg", "x" * 400_000, "at most 300 are meant"),
        ("app_json", "{}", "no pages"),
    ],
)
def test_what_fails_on_phones_fails_here(lint, file, text, complaint):
    assert complaint in lint(**{file: text})


def test_the_type_checker_knows_what_phones_lack(equipment, tmp_path):
    config = json.loads((HERE / "tsconfig.json").read_text())
    config["compilerOptions"]["typeRoots"] = [str(HERE / "node_modules")]
    config["compilerOptions"]["types"] = [str(HERE / "node_modules" / "miniprogram-api-typings")]
    config["include"] = ["*.js"]
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    (tmp_path / "a.js").write_text(
        "new TextDecoder();\ndocument.title = '';\nwx.showTost({});\nwx.showToast({ title: 1 });\n[1].at(0);\n"
    )
    said = node("node_modules/typescript/bin/tsc", "--project", tmp_path / "tsconfig.json").stdout
    for line in range(1, 6):
        assert f"a.js({line}," in said, said


@pytest.mark.parametrize("script", ["lint", "test"])
def test_our_own_mini_program_passes(equipment, script):
    done = subprocess.run(
        ["npm", "run", "--silent", script], cwd=HERE, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert MINIPROGRAM.is_dir()
