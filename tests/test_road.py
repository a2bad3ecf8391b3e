"""One message, one road: a question goes in by HTTP and the model's answer comes out, whole and as a stream."""

from tests.fakes import FakeCogito
from tests.server import Api


def test_a_question_is_answered_whole(api: Api, cogito: FakeCogito) -> None:
    user = api.login()
    answer = user.ask("你好").json()
    assert answer["reply"] == "回答：你好"
    assert answer["status"] == "done"
    assert answer["usage"]["total_tokens"] > 0
