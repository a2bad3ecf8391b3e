"""/health while the process can answer, /ready with what is missing, and a bug is a bug."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from sqlalchemy import create_engine, text

from tests.conftest import SERVERS, fresh_database
from tests.house import House, housing, problem
from tests.server import Api, wait_until


def ready(api: Api) -> tuple[int, dict[str, str]]:
    response = requests.get(f"{api.url}/ready", timeout=10)
    body = response.json()
    assert body["status"] == ("unavailable" if body["missing"] else "ready")
    return response.status_code, body["missing"]


def test_health_names_the_service(house: House) -> None:
    response = requests.get(f"{house.api.url}/health", timeout=10)
    assert response.status_code == 200
    assert response.json() | {"status": "ok", "service": "mini-program-ai-backend"} == response.json()
    assert response.headers["X-Request-Id"]


def test_ready_when_nothing_is_missing(house: House) -> None:
    assert ready(house.api) == (200, {})


def test_without_its_model_a_process_is_healthy_and_not_ready(house: House) -> None:
    house.cogito.healthy = False
    try:
        wait_until(lambda: ready(house.other)[0] == 503, 8)  # at once, unless somebody has just asked
        assert [*ready(house.other)[1]] == ["model"]
        assert requests.get(f"{house.other.url}/health", timeout=10).status_code == 200
    finally:
        house.cogito.healthy = True
    wait_until(lambda: ready(house.other) == (200, {}), 5)


def test_a_full_disk_is_no_rush_and_ready_names_the_database(start_api: Callable[..., Api], tmp_path: Path) -> None:
    api = start_api(database_url=f"sqlite:///{tmp_path / 'full.db'}")
    user = api.login()
    (worker,) = api.children()
    # Files may not grow any more; the log has come less far.
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))
    (refused,) = wait_until(lambda: [a for a in [user.ask("写得下吗" * 100)] if a.status_code >= 500], 20)
    problem(refused, 500, "internal")
    assert "cannot be written" in api.log and "Traceback" not in api.log
    status, missing = ready(api)
    assert status == 503 and "disk" in missing["database"]
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert user.ask("现在呢").json()["reply"] == "回答：现在呢"
    wait_until(lambda: ready(api) == (200, {}), 12)


# On PostgreSQL: a database that can be out of reach, and that is stricter than SQLite


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("far")
    with fresh_database("postgresql", folder) as url, housing(folder, simulator, {}, url=url) as house:
        yield house


def reach(house: House, allowed: bool) -> None:
    """Throw everyone out of the database and let nobody in, or let them in again."""
    name = house.database.url.database
    server = create_engine(SERVERS["postgresql"], isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}"))
        if not allowed:
            everyone = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            connection.execute(text(everyone), {"name": name})
    server.dispose()


def test_what_postgresql_could_not_store_is_mended_or_refused(far: House) -> None:
    """It knows no NUL in a text, and fewer numbers than SQLite."""
    user = far.login()
    assert user.ask("有\0空字符").json()["reply"] == "回答：有空字符"
    chat = {"messages": [{"role": "user", "content": "也\0有"}]}
    assert user.post("/chat", chat).json()["reply"] == "回答：也有"
    problem(user.ask("编号", client_request_id="a\0b"), 400, "invalid_message")
    problem(user.ask("哪个会话", conversation_id="1\0"), 404, "not_found")
    path = f"/api/conversations/{user.ask('改名').json()['conversation_id']}"
    problem(user.call("PUT", path, json={"title": "名\0字"}), 400, "invalid_message")
    last = (1 << 63) - 1
    assert len(user.get(path, params={"before": last}).json()["turns"]) == 1
    assert len(user.get("/api/conversations", params={"before": f"{last}.{last}"}).json()["conversations"]) == 2


def test_a_database_that_goes_and_comes_back(far: House) -> None:
    user = far.login()
    assert ready(far.api) == (200, {})
    reach(far, False)
    try:
        status, missing = ready(far.api)
        assert (status, [*missing]) == (503, ["database"])
        assert requests.get(f"{far.api.url}/health", timeout=10).status_code == 200
        told = problem(user.ask("还能问吗"), 503, "busy")
        assert "postgres" not in str(told).lower()
    finally:
        reach(far, True)
    wait_until(lambda: ready(far.api) == (200, {}), 10)
    assert user.ask("又能问了").json()["reply"] == "回答：又能问了"
