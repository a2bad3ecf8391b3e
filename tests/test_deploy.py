"""What is in `deploy/` and `docs/`: names that exist, and the real nginx in front of a real api."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from core.settings import Settings
from tests.databases import missing
from tests.server import ROOT, Api, User, free_port, wait_until

DEPLOY, DOCS = ROOT / "deploy", ROOT / "docs"
KNOWN = {name.upper() for name in Settings.model_fields}
OTHERS = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PIP_INDEX_URL", "POSTGRES_PASSWORD"}


def test_every_variable_in_the_guides_and_files_exists() -> None:
    shown = set()
    for path in [*DOCS.glob("*.md"), *DEPLOY.rglob("*.service"), DEPLOY / "compose.env.example"]:
        shown |= set(re.findall(r"(?m)^(?:Environment=)?([A-Z][A-Z0-9_]+)=", path.read_text(encoding="utf-8")))
        shown |= set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", path.read_text(encoding="utf-8")))
    shown |= set(json.loads((DEPLOY / "cloud" / "container.config.json").read_text(encoding="utf-8"))["envParams"])
    shown |= set(re.findall(r"(?m)^    ([A-Z][A-Z0-9_]+)=", (DEPLOY / "Dockerfile").read_text(encoding="utf-8")))
    assert len(shown) > 25
    assert shown - KNOWN - OTHERS - {"LOG_FORMAT"} == set()


def test_what_the_image_is_made_of_holds_no_secret_and_lacks_nothing() -> None:
    listed = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert listed[0] == "*", "everything stays out but what is named"
    for needed in ("app.py", "requirements.txt", "core", "wechat", "demo/*.gguf"):
        assert f"!{needed}" in listed
    assert not any(line.startswith("!") and re.search(r"env|data|certs", line) for line in listed)
    assert (ROOT / "demo" / "demo-zh.q8_0.gguf").exists()


def test_both_languages_of_a_guide_have_the_same_chapters() -> None:
    for name in ("deploy", "launch"):
        texts = [(DOCS / f"{name}{language}.md").read_text(encoding="utf-8") for language in ("", ".en")]
        chinese, english = (len(re.findall(r"(?m)^## ", text)) for text in texts)
        assert chinese == english > 3, name


def test_systemd_takes_the_units() -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is not installed")
    units = [str(path) for path in (DEPLOY / "systemd").iterdir()]
    said = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False).stderr
    # That /srv/chat is not there is all there is to say.
    assert [line for line in said.splitlines() if "is not executable" not in line] == []


@contextmanager
def nginx(folder: Path, site: str, **replaced: str) -> Iterator[Path]:
    """nginx with a file of ours as its only site, in a folder of its own."""
    if shutil.which("nginx") is None:
        missing("nginx is not installed")
    (folder / "verify").mkdir()
    (folder / "verify" / "MP_verify_AbCdEf0123456789.txt").write_text("AbCdEf0123456789")
    rules = (DEPLOY / "nginx" / "chat.locations").read_text(encoding="utf-8")
    (folder / "chat.locations").write_text(rules.replace("/srv/chat/verify", str(folder / "verify")))
    text = (DEPLOY / "nginx" / site).read_text(encoding="utf-8")
    for old, new in {"/etc/nginx/chat.locations": str(folder / "chat.locations"), **replaced}.items():
        assert old in text
        text = text.replace(old, new)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root; " if os.geteuid() == 0 else ""  # else its workers could not read our folder
    (folder / "nginx.conf").write_text(
        f"{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"events {{ worker_connections 512; }}\nhttp {{ access_log off;\n{temporary}{text}\n}}\n"
    )
    yield folder / "nginx.conf"


@pytest.fixture
def behind(start_api: Callable[..., Api], tmp_path: Path) -> Iterator[tuple[Api, str]]:
    """An api, and the address at which nginx passes it on."""
    api = start_api(trusted_proxies=1, log_format="json", login_per_minute=4)
    port = free_port()
    folder = tmp_path / "nginx"
    folder.mkdir()
    places = {"server api:8000": f"server 127.0.0.1:{api.port}", "listen 80;": f"listen 127.0.0.1:{port};"}
    with nginx(folder, "compose.conf", **places) as config:
        process = subprocess.Popen(["nginx", "-c", str(config)], stderr=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return requests.get(f"{url}/health", timeout=2).ok
            except requests.ConnectionError:
                return False

        wait_until(answers)
        yield api, url
        process.terminate()
        process.wait(10)


def test_behind_nginx_streams_flow_and_addresses_are_true(behind: tuple[Api, str]) -> None:
    api, url = behind
    user: User = api.login().at(url)
    began = time.monotonic()
    stream = user.stream("[tokens:6@0.2]")
    at = [time.monotonic() - began for name, _ in stream if name == "delta"]
    stream.close()
    assert len(at) >= 5 and at[-1] - at[0] > 0.7, "the deltas came together"
    assert stream.response.headers["X-Accel-Buffering"] == "no"

    verify = requests.get(f"{url}/MP_verify_AbCdEf0123456789.txt", timeout=5)
    assert (verify.status_code, verify.text) == (200, "AbCdEf0123456789")
    for closed in ("/metrics", "/cloud/callback"):
        assert requests.get(url + closed, timeout=5).status_code == 404

    # Who guesses codes gets no further by claiming other addresses; one login was ours above.
    claims = [{"X-Forwarded-For": f"203.0.113.{n}", "X-Real-IP": f"203.0.113.{n}"} for n in range(5)]
    tried = [requests.post(f"{url}/api/login", json={"code": "x"}, headers=h, timeout=5).status_code for h in claims]
    assert tried[-1] == 429
    lines = [json.loads(line) for line in api.log.splitlines() if '"access"' in line]
    assert {line["ip"] for line in lines} == {"127.0.0.1"}
    answered = requests.get(f"{url}/api/me", headers={**user.headers, "X-Request-Id": "forged"}, timeout=5)
    assert re.fullmatch("[0-9a-f]{32}", answered.headers["X-Request-Id"])  # nginx's own, for both logs


def test_nginx_takes_the_site_with_tls(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        missing("openssl is not installed")
    certificate, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    made = ["-subj", "/CN=chat.example.com", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made], capture_output=True, check=True
    )
    with nginx(tmp_path, "chat.conf", **{"/etc/nginx/certs": str(tmp_path)}) as config:
        tested = subprocess.run(["nginx", "-t", "-c", str(config)], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr
    assert "warn" not in tested.stderr
