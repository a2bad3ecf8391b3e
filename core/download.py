"""Getting the real model: one GGUF file from ModelScope, or else from Hugging Face.

    download([Source(…), Source(…)], Path("data/models"))

What was cut off goes on where it stopped, also in the next run and from the other hub. Size and SHA-256 are what
the hub says of the file; a file that differs is thrown away. Without a network it gives up within seconds: hubs
are asked side by side, each for `ASK_SECONDS` at most, name resolution included.
"""

import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

REPOSITORY = "bartowski/deepcogito_cogito-v1-preview-llama-3B-GGUF"
FILE = "deepcogito_cogito-v1-preview-llama-3B-Q4_K_M.gguf"

ASK_SECONDS = 10.0  # for all that is to be known of a file before its first byte
CONNECT_SECONDS, READ_SECONDS = 5, 15
TRIES = 3  # in a row that brought nothing
PIECE = 1 << 16  # of what is cut off, less than this is lost
PAUSE_SECONDS = 1.0


class DownloadError(Exception):
    """It is not there; the text says for each hub why, and what to do."""


class _Unusable(Exception):
    """This source will not do, now or later."""


class _Spoiled(_Unusable):
    """What was received is not the file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file at a hub. `details` asks the hub for its size and SHA-256, where it says so."""

    hub: str
    url: str
    details: "Callable[[requests.Session], Details]"


@dataclass(frozen=True, slots=True)
class Details:
    size: int | None = None
    sha256: str | None = None


def modelscope(endpoint: str, repository: str = REPOSITORY, file: str = FILE) -> Source:
    base = endpoint.rstrip("/")

    def details(session: requests.Session) -> Details:
        url = f"{base}/api/v1/models/{repository}/repo/files"
        answer = _checked(session.get(url, params={"Revision": "master", "Recursive": "true"}, timeout=_TIMEOUT))
        found = _entry(answer, file)
        return Details(_size(found.get("Size")), _sha256(found.get("Sha256")))

    return Source("ModelScope", f"{base}/models/{repository}/resolve/master/{quote(file)}", details)


def hugging_face(endpoint: str, repository: str = REPOSITORY, file: str = FILE) -> Source:
    url = f"{endpoint.rstrip('/')}/{repository}/resolve/main/{quote(file)}"

    def details(session: requests.Session) -> Details:
        answer = _checked(session.head(url, timeout=_TIMEOUT, allow_redirects=False))
        return Details(
            _size(answer.headers.get("X-Linked-Size")), _sha256(answer.headers.get("X-Linked-ETag", "").strip('"'))
        )

    return Source("Hugging Face", url, details)


def download(
    sources: Sequence[Source],
    folder: Path,
    *,
    name: str | None = None,
    sha256: str | None = None,
    bar: "Bar | None" = None,
) -> Path:
    """Fetch the file from the first source that has it; returns where it is. `sha256` overrules the hubs'."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (name or urlsplit(sources[0].url).path.rpartition("/")[2])
    if target.exists():
        return target
    part = target.with_name(target.name + ".part")
    faults = []
    with _alone(part), _session() as session:
        answers = _ask_all(sources)
        known = next((one.sha256 for one in answers if isinstance(one, Details) and one.sha256), None)
        for source, details in zip(sources, answers, strict=True):
            if isinstance(details, str):
                faults.append(f"{source.hub}：{details}")
                continue
            expected = Details(details.size, sha256 or details.sha256 or known)
            try:
                _fetch(session, source, expected, part, bar)
            except _Unusable as fault:
                faults.append(f"{source.hub}：{fault}")
                continue
            os.replace(part, target)
            return target
    kept = f"\n已下载的 {part.stat().st_size >> 20} MB 还在，再运行一次会接着下载。" if part.exists() else ""
    raise DownloadError(
        "模型没有下载下来。\n"
        + "\n".join(f"  {fault}" for fault in faults)
        + "\n请检查网络；也可以用 HF_ENDPOINT、MODELSCOPE_ENDPOINT 指向能访问的镜像，"
        + f"或把 GGUF 文件手工放进 {folder}/。"
        + kept
    )


_TIMEOUT = (CONNECT_SECONDS, ASK_SECONDS)


def _session() -> requests.Session:
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"  # sizes and ranges are of the file itself
    return session


def _ask_all(sources: Sequence[Source]) -> list[Details | str]:
    """What each hub says of its file, or why it says nothing. A resolver may hang for minutes: we do not wait."""
    answers: list[Details | str] = [f"{ASK_SECONDS:.0f} 秒内没有回应"] * len(sources)

    def ask(number: int, source: Source) -> None:
        with _session() as session:
            try:
                answers[number] = source.details(session)
            except _Unusable as fault:
                answers[number] = str(fault)
            except (requests.RequestException, ValueError) as fault:
                answers[number] = _explain(fault)

    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in enumerate(sources)]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + ASK_SECONDS
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
    return list(answers)


def _fetch(session: requests.Session, source: Source, expected: Details, part: Path, bar: "Bar | None") -> None:
    """Bring `part` to its full size and check it; goes on as long as tries bring something."""
    tries = 0
    resumed = _length(part) > 0
    try:
        while True:
            before = _length(part)
            try:
                total = _transfer(session, source, expected, part, bar)
                _check(part, expected, total)
                return
            except _Spoiled:
                if not resumed:
                    raise
                resumed = False  # what an earlier run left may have been of another file: once more, from the start
            except (requests.RequestException, OSError) as fault:
                if isinstance(fault, OSError) and not isinstance(fault, requests.RequestException):
                    raise DownloadError(f"写不了 {part}：{fault.strerror}。") from fault
                tries = 1 if _length(part) > before else tries + 1
                if tries >= TRIES:
                    raise _Unusable(_explain(fault)) from fault
            time.sleep(PAUSE_SECONDS * tries)
    finally:
        if bar:
            bar.close()


def _transfer(
    session: requests.Session, source: Source, expected: Details, part: Path, bar: "Bar | None"
) -> int | None:
    """One request from where we are to the end; the file's whole size, if that is known."""
    have = _length(part)
    if expected.size is not None and have > expected.size:  # of another file
        part.unlink()
        have = 0
    if have and have == expected.size:
        return have
    headers = {"Range": f"bytes={have}-"} if have else {}
    with session.get(source.url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response:
        if response.status_code == 416:
            part.unlink(missing_ok=True)
            raise requests.ConnectionError("our part is longer than the file")
        _checked(response)
        if have and not _goes_on(response, have):
            have = 0
        length = _size(response.headers.get("Content-Length"))
        total = expected.size or (have + length if length is not None else None)
        _expect_room(part, total, have)
        if bar:
            bar.start(source.hub, have, total)
        with part.open("ab" if have else "wb") as file:
            for piece in response.iter_content(PIECE):
                file.write(piece)
                if bar:
                    bar.update(len(piece))
    if total is not None and _length(part) < total:
        raise requests.ConnectionError("the body ended early")
    return total


def _goes_on(response: requests.Response, have: int) -> bool:
    """Whether the answer begins where we stopped; a server may send the whole file instead."""
    begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status_code == 206 and begins is not None and int(begins[1]) == have


def _check(part: Path, expected: Details, total: int | None) -> None:
    """The file must be what the hub said it is; else it is removed."""
    fault = None
    with part.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        fault = "收到的不是 GGUF 模型文件"
    elif total is not None and part.stat().st_size != total:
        fault = "文件大小不对"
    elif expected.sha256 and _digest(part) != expected.sha256:
        fault = "文件校验（SHA-256）不通过，下载的内容已删除"
    if fault:
        part.unlink()
        raise _Spoiled(fault)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _expect_room(part: Path, total: int | None, have: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        raise DownloadError(f"磁盘空间不够：还需要 {(total - have) >> 20} MB，{part.parent} 只剩 {free >> 20} MB。")


def _checked(response: requests.Response) -> requests.Response:
    """Statuses that will be the same a minute later end the matter."""
    if response.status_code in (401, 403, 404, 410):
        raise _Unusable(f"没有这个文件，或不允许下载（HTTP {response.status_code}）")
    if response.status_code >= 400:
        response.raise_for_status()
    return response


def _entry(response: requests.Response, file: str) -> dict[str, object]:
    answer = response.json()
    files = (answer.get("Data") or {}).get("Files") or [] if isinstance(answer, dict) else []
    for entry in files:
        if isinstance(entry, dict) and entry.get("Path") == file:
            return entry
    raise _Unusable("仓库里没有这个文件")


def _size(value: object) -> int | None:
    return int(str(value)) if str(value).isdecimal() else None


def _sha256(value: object) -> str | None:
    return str(value).lower() if re.fullmatch(r"[0-9a-fA-F]{64}", str(value)) else None


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _explain(fault: Exception) -> str:
    text = str(fault)
    if "NameResolution" in text or "getaddrinfo" in text:
        return "找不到这个域名（没有网络，或 DNS 有问题）"
    if isinstance(fault, requests.exceptions.SSLError):
        return "TLS 证书有问题"
    if isinstance(fault, requests.Timeout) or "timed out" in text:
        return "连接超时"
    if "refused" in text:
        return "连接被拒绝"
    if isinstance(fault, requests.HTTPError) and fault.response is not None:
        return f"服务器出错（HTTP {fault.response.status_code}）"
    if isinstance(fault, requests.ConnectionError):
        return "连接中断"
    return "回答看不懂"


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Two downloads into one file would spoil it."""
    import fcntl

    lock = part.with_name(part.name + ".lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError("另一个下载正在进行。") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


class Bar:
    """The progress on the screen; nothing where there is none."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._hub = ""

    def start(self, hub: str, done: int, total: int | None) -> None:
        from tqdm import tqdm  # type: ignore[import-untyped]

        if self._bar is None or self._hub != hub:
            self.close()
            self._hub = hub
            size = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
            self._bar = tqdm(desc=hub, total=total, initial=done, mininterval=0.5, **size)
        self._bar.n = done

    def update(self, count: int) -> None:
        self._bar.update(count)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
