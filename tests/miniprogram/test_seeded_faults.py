"""Faults put in on purpose, each of which the suite has to notice: the checks here are those of the other tests."""

import pytest

from tests.miniprogram import test_chat, test_sending
from tests.miniprogram.builds import MINIPROGRAM, Change


def naive_decoding():
    """Each byte is taken for a character."""
    return Change("utils/utf8.js", "module.exports = { decode };", (
        "module.exports = { decode: (bytes) => String.fromCharCode.apply(null, bytes) };"
    ))  # fmt: skip


def decoding_chunk_by_chunk():
    """Chunks are decoded one by one, as if none ended inside a character."""
    return Change("utils/sse.js", "const bytes = join(this.rest, new Uint8Array(chunk));", (
        "const bytes = join(this.rest, Uint8Array.from("
        "unescape(encodeURIComponent(decode(new Uint8Array(chunk)))).split('').map((one) => one.charCodeAt(0))));"
    ))  # fmt: skip


def text_decoder():
    """What browsers have and phones lack."""
    return Change("utils/utf8.js", "module.exports = { decode };", (
        "module.exports = { decode: (bytes) => new TextDecoder().decode(bytes) };"
    ))  # fmt: skip


def dead_stop_button():
    """The button changes its word and does nothing."""
    return Change("pages/chat/chat.js", "this.thread.stop().catch(excuse);", "")


def popped_message():
    """The tutorial's own mistake: on a failure the user's message goes as well."""
    return Change(
        "stores/outcome.js",
        "else turn.status = turn.turnId ? 'lost' : 'unsent';",
        "else conversation.turns = conversation.turns.filter((one) => one !== turn);",
    )


def no_resume():
    """A dropped stream is the end."""
    return Change("services/answer.js", "while (!this.over()) await this.poll();", (
        "if (!this.over()) this.finish({ status: 'done', code: '', detail: '' });"
    ))  # fmt: skip


def split(phone, backend):
    test_sending.test_the_answer_is_whole_whatever_the_phone_can_do(phone, backend, {"split_bytes": 1})


def stops(phone, backend):
    test_chat.test_stop_ends_the_answer_here_and_at_the_model(phone, backend)


def keeps(phone, backend):
    test_sending.test_offline_is_said_and_a_retry_sends_the_same_question_once(phone, backend)


def resumes(phone, backend):
    test_sending.test_a_dropped_stream_is_resumed_without_a_break(phone, backend)


SEEDED = [
    (naive_decoding, split),
    (decoding_chunk_by_chunk, split),
    (text_decoder, split),
    (dead_stop_button, stops),
    (popped_message, keeps),
    (no_resume, resumes),
]


@pytest.mark.parametrize(("fault", "check"), SEEDED, ids=[fault.__name__ for fault, _ in SEEDED])
def test_a_seeded_fault_is_noticed(new_phone, builder, backend, fault, check):
    phone = new_phone(builder.build(fault.__name__, MINIPROGRAM, fault()))
    phone.forgiving = True  # this test looks at the errors itself
    phone.patience = 1.5
    phone.open()
    try:
        check(phone, backend)
    except AssertionError:
        return
    assert phone.troubles(), "every check passed, and no page complained"
