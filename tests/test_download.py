import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import core.download
from core.download import DownloadError, download, hugging_face, modelscope
from tests.hub import FakeHub
from tests.server import ROOT, free_port

REPOSITORY, FILE = "someone/cogito-GGUF", "cogito.gguf"
DATA = b"GGUF" + bytes(range(256)) * 1200


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(DATA, FILE) as hub:
        yield hub


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.download, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(core.download, "PIECE", 16 * 1024)
    monkeypatch.setattr(core.download, "READ_SECONDS", 1)


def fetch(hub: FakeHub, folder: Path, sha256: str | None = None) -> Path:
    sources = [modelscope(hub.url, REPOSITORY, FILE), hugging_face(hub.url, REPOSITORY, FILE)]
    return download(sources, folder, sha256=sha256)


def test_it_comes_from_modelscope_and_nothing_is_left_beside_it(hub: FakeHub, tmp_path: Path) -> None:
    path = fetch(hub, tmp_path / "models")
    assert path.read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]
    assert hub.transfers() == [(f"/models/{REPOSITORY}/resolve/master/{FILE}", None)]
    assert fetch(hub, tmp_path / "models") == path  # it is there: nothing to do
    assert len(hub.transfers()) == 1


def test_what_modelscope_lacks_comes_from_hugging_face(hub: FakeHub, tmp_path: Path) -> None:
    hub.missing.add("modelscope")
    assert fetch(hub, tmp_path).read_bytes() == DATA
    assert hub.transfers() == [("/cdn", None)]


def test_a_transfer_that_is_cut_off_goes_on_where_it_stopped(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut_after = [100_000, 50_000, 40_000, 30_000, 20_000]  # as long as each brings something
    assert fetch(hub, tmp_path).read_bytes() == DATA
    begins = [int(asked[6:-1]) for _, asked in hub.transfers() if asked]
    assert len(begins) == 5 and begins == sorted(set(begins))


def test_the_next_run_goes_on_too_and_from_the_other_hub(hub: FakeHub, tmp_path: Path) -> None:
    hub.missing.add("huggingface")
    hub.cut_after = [100_000, 0, 0, 0]
    with pytest.raises(DownloadError, match="还在，再运行一次会接着下载"):
        fetch(hub, tmp_path)
    size = (tmp_path / f"{FILE}.part").stat().st_size
    assert size > 50_000
    hub.missing = {"modelscope"}
    hub.cut_after = []
    assert fetch(hub, tmp_path).read_bytes() == DATA
    assert hub.transfers()[-1] == ("/cdn", f"bytes={size}-")


def test_a_server_that_knows_no_ranges_begins_anew(hub: FakeHub, tmp_path: Path) -> None:
    hub.ranges = False
    hub.cut_after = [100_000]
    assert fetch(hub, tmp_path).read_bytes() == DATA


def test_what_an_earlier_run_left_of_another_file_is_thrown_away(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.part").write_bytes(b"GGUF" + bytes(100_000))
    assert fetch(hub, tmp_path).read_bytes() == DATA
    (tmp_path / FILE).unlink()
    (tmp_path / f"{FILE}.part").write_bytes(b"GGUF" + bytes(len(DATA) * 2))  # longer than the file
    assert fetch(hub, tmp_path).read_bytes() == DATA


def test_a_file_with_another_checksum_is_never_kept(hub: FakeHub, tmp_path: Path) -> None:
    hub.told_sha256 = "0" * 64
    with pytest.raises(DownloadError, match="SHA-256"):
        fetch(hub, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert fetch(hub, tmp_path, sha256=hub.sha256).read_bytes() == DATA  # who knows better may say so


def test_a_checksum_that_one_hub_tells_holds_for_the_other(hub: FakeHub, tmp_path: Path) -> None:
    other = FakeHub(DATA[:-1] + b"?", FILE)
    other.told_sha256 = None
    with other, pytest.raises(DownloadError, match="SHA-256"):
        download([modelscope(other.url, REPOSITORY, FILE), _details_only(hub)], tmp_path)


def _details_only(hub: FakeHub) -> core.download.Source:
    source = hugging_face(hub.url, REPOSITORY, FILE)
    return core.download.Source(source.hub, f"{hub.url}/nowhere.gguf", source.details)


def test_a_web_page_in_place_of_the_model_is_not_kept(tmp_path: Path) -> None:
    with FakeHub(b"<html>please log in</html>", FILE) as hub, pytest.raises(DownloadError, match="不是 GGUF"):
        fetch(hub, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_passing_fault_of_the_server_is_tried_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.failing = 2
    assert fetch(hub, tmp_path).read_bytes() == DATA


def test_a_slow_transfer_is_let_finish(hub: FakeHub, tmp_path: Path) -> None:
    hub.slowly = 0.1
    assert fetch(hub, tmp_path).read_bytes() == DATA
    assert len(hub.transfers()) == 1


def test_a_hub_that_never_answers_is_given_up_and_the_other_is_asked_meanwhile(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.download, "ASK_SECONDS", 0.8)
    hub.silent.add("modelscope")
    began = time.monotonic()
    assert fetch(hub, tmp_path).read_bytes() == DATA
    assert time.monotonic() - began < 3


def test_a_full_disk_is_noticed_before_the_first_byte(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(core.download.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DownloadError, match="磁盘空间不够"):
        fetch(hub, tmp_path)


def test_two_downloads_at_once_do_not_spoil_one_file(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.part").touch()
    with core.download._alone(tmp_path / f"{FILE}.part"), pytest.raises(DownloadError, match="正在进行"):
        fetch(hub, tmp_path)


def test_the_command_shows_its_progress_and_where_the_model_is(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut_after = [100_000]
    command = [sys.executable, str(ROOT / "app.py"), "model", "download", "--repo", REPOSITORY, "--file", FILE]
    environment = {"MODELSCOPE_ENDPOINT": hub.url, "HF_ENDPOINT": hub.url, "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "ModelScope: 100%" in done.stderr
    assert "data/models/cogito.gguf" in done.stdout
    assert (tmp_path / "data" / "models" / FILE).read_bytes() == DATA


def test_without_a_network_the_command_says_so_within_seconds(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    began = time.monotonic()
    command = [sys.executable, str(ROOT / "app.py"), "model", "download"]
    environment = {"MODELSCOPE_ENDPOINT": "http://no.such.host.invalid", "HF_ENDPOINT": nowhere, "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
    assert time.monotonic() - began < 15
    assert done.returncode == 1
    assert "ModelScope：找不到这个域名" in done.stderr and "Hugging Face：连接被拒绝" in done.stderr
    assert "HF_ENDPOINT" in done.stderr and "Traceback" not in done.stderr
