"""Builds of the mini-program for the browser, by the compiler in `runner/`."""

import importlib.util
import json
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MINIPROGRAM = ROOT / "miniprogram"


class BuildFailed(Exception):
    """The compiler's complaints."""


@dataclass(frozen=True)
class Change:
    """In this file, `find` becomes `replace`: a fault put in on purpose."""

    file: str
    find: str
    replace: str


@dataclass
class Builder:
    """Builds below a folder; what has been built once is not built again."""

    builds: Path
    _done: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def build(self, name: str, folder: Path = MINIPROGRAM, *changes: Change) -> str:
        """Build it under this name, which is returned; raises BuildFailed.

        What could be built is there even then: half-finished work may be looked at.
        """
        with self._lock:
            if name not in self._done:
                self._run(name, folder, changes)
                self._done.add(name)
        return name

    def _run(self, name: str, folder: Path, changes: tuple[Change, ...]) -> None:
        out = self.builds / name
        command = ["node", str(HERE / "runner" / "build.mjs"), str(folder), str(out)]
        if changes:
            self.builds.mkdir(parents=True, exist_ok=True)
            listed = self.builds / f"{name}.changes.json"
            listed.write_text(json.dumps([vars(change) for change in changes]))
            command += ["--change", str(listed)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise BuildFailed(done.stderr)


def lacking() -> str | None:
    """What is missing on this machine to run the pages, as a sentence; None if everything is there."""
    if not shutil.which("node"):
        return "node is not installed"
    if not (HERE / "node_modules").is_dir():
        return "the packages of tests/miniprogram are not installed (npm ci)"
    if not chromium():
        return "chromium is not installed"
    if not importlib.util.find_spec("playwright"):
        return "playwright is not installed (requirements-dev.txt)"
    return None


def chromium() -> str | None:
    """The browser's path: Debian's, or whatever goes by one of its names."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
