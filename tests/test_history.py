import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.history import MESSAGE_TOKENS, TokenEstimator, WritingSpeed, as_messages, count_turns, trim, trim_messages
from core.messages import Message, Turn

PLENTY = 10**6


def turns(count: int) -> list[Turn]:
    return [Turn(f"q{n}", f"a{n}") for n in range(count)]


def messages(conversation: str) -> list[Message]:
    """`u1 a1 u2`: who speaks is the first letter."""
    roles = {"u": "user", "a": "assistant"}
    return [{"role": roles[word[0]], "content": word} for word in conversation.split()]  # type: ignore[typeddict-item]


def words(list_: list[Message]) -> str:
    return " ".join(message["content"] for message in list_)


# ---- Turns


def test_the_newest_turns_are_kept_in_their_order() -> None:
    assert trim(turns(5), PLENTY, 3, len) == turns(5)[2:]


def test_turns_fit_the_budget_to_the_token() -> None:
    each = 2 + 2 + 2 * MESSAGE_TOKENS
    assert trim(turns(5), 2 * each, 10, len) == turns(5)[3:]
    assert trim(turns(5), 2 * each - 1, 10, len) == turns(5)[4:]


def test_a_turn_that_does_not_fit_hides_all_before_it() -> None:
    history = [Turn("q", "a"), Turn("q", "a" * 1000), Turn("q", "last")]
    assert trim(history, 100, 10, len) == history[2:]


@pytest.mark.parametrize(("budget", "most"), [(0, 10), (-5, 10), (PLENTY, 0), (PLENTY, -1)])
def test_without_room_there_is_no_past(budget: int, most: int) -> None:
    assert trim(turns(3), budget, most, len) == []
    assert words(trim_messages(messages("u1 a1 u2"), budget, most, len)) == "u2"


def test_the_prompt_is_system_then_turns_then_question() -> None:
    assert as_messages("be kind", [Turn("hi", "hello")], "well?") == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "well?"},
    ]
    assert as_messages("", [], "well?") == [{"role": "user", "content": "well?"}]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.builds(Turn, st.text(max_size=9), st.text(max_size=9)), max_size=8),
    st.integers(-1, 150),
    st.integers(-1, 9),
)
def test_trim_keeps_the_longest_end_that_fits(history: list[Turn], budget: int, most: int) -> None:
    def fits(end: list[Turn]) -> bool:
        return len(end) <= max(0, most) and sum(
            len(turn.question) + len(turn.answer) + 2 * MESSAGE_TOKENS for turn in end
        ) <= max(0, budget)

    ends = [history[start:] for start in range(len(history) + 1)]
    assert trim(history, budget, most, len) == next(end for end in ends if fits(end))


# ---- Messages kept by the client


def test_the_last_turns_and_the_question_are_kept() -> None:
    assert words(trim_messages(messages("u1 a1 u2 a2 u3 a3 u4"), PLENTY, 2, len)) == "u2 a2 u3 a3 u4"


def test_the_question_is_kept_even_where_it_is_too_long() -> None:
    question: Message = {"role": "user", "content": "long" * 100}
    assert trim_messages([*messages("u1 a1"), question], 14, 5, len) == [*messages("u1 a1"), question]
    assert trim_messages([*messages("u1 a1"), question], 13, 5, len) == [question]


def test_an_answer_never_comes_first() -> None:
    assert words(trim_messages(messages("a0 a1 u1 a2 u2"), PLENTY, 9, len)) == "u1 a2 u2"
    assert words(trim_messages(messages("a0 u1"), PLENTY, 9, len)) == "u1"


def test_messages_of_one_side_in_a_row_belong_to_one_turn() -> None:
    conversation = messages("u1 a1 u2 u3 a3 a4 u5")
    assert words(trim_messages(conversation, PLENTY, 1, len)) == "u2 u3 a3 a4 u5"
    assert words(trim_messages(messages("u1 u2 u3"), PLENTY, 1, len)) == "u1 u2 u3"
    assert words(trim_messages(messages("u1 u2 u3"), PLENTY, 0, len)) == "u3"


@pytest.mark.parametrize(("conversation", "count"), [("u1", 0), ("a0 u1 a1 u2 u3 a3 a4 u5", 2), ("", 0)])
def test_turns_are_counted_as_they_are_trimmed(conversation: str, count: int) -> None:
    assert count_turns(messages(conversation)) == count


def test_no_messages_stay_no_messages() -> None:
    assert trim_messages([], PLENTY, 5, len) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from("ua"), max_size=12), st.integers(0, 90), st.integers(0, 5))
def test_trimmed_messages_are_an_end_of_the_list_that_begins_with_the_user(
    roles: list[str], budget: int, most: int
) -> None:
    conversation = messages(" ".join(f"{role}{n}" for n, role in enumerate([*roles, "u"])))
    kept = trim_messages(conversation, budget, most, len)
    assert kept == conversation[len(conversation) - len(kept) :]
    assert kept[0]["role"] == "user"
    assert sum(len(message["content"]) + MESSAGE_TOKENS for message in kept[:-1]) <= budget


# ---- Tokens


def test_the_first_estimate_is_a_token_per_chinese_character_and_fewer_for_english() -> None:
    estimate = TokenEstimator().estimate
    assert estimate("今天天气怎么样") == 7
    assert 9 <= estimate("What is the weather like today?") <= 10
    assert estimate("") == 0


@pytest.mark.parametrize(("truth", "factor"), [(0.7, 0.7), (1.6, 1.6), (0.01, 0.25), (50.0, 4.0)])
def test_the_estimate_approaches_what_the_model_counts_within_bounds(truth: float, factor: float) -> None:
    tokens = TokenEstimator()
    text = "字" * 1000
    for _ in range(100):
        tokens.learn(tokens.estimate(text), int(1000 * truth))
    assert tokens.factor == pytest.approx(factor, rel=0.02)
    assert tokens.estimate(text) == pytest.approx(1000 * factor, rel=0.02)


def test_one_odd_report_changes_little_and_an_empty_one_nothing() -> None:
    tokens = TokenEstimator()
    tokens.learn(10, 100_000)
    assert tokens.factor <= 1.3
    tokens = TokenEstimator()
    for estimated, actual in ((0, 10), (10, 0), (-1, -1)):
        tokens.learn(estimated, actual)
    assert tokens.factor == 1.0


# ---- Time


def test_without_data_the_estimate_is_a_usual_answer() -> None:
    speed = WritingSpeed(characters=400, seconds=20)
    assert speed.seconds_for(200) == pytest.approx(10)
    assert speed.remaining_seconds(0, 0) == speed.remaining_seconds(0, 7) == pytest.approx(20)


def test_speed_and_length_follow_the_answers() -> None:
    speed = WritingSpeed()
    for _ in range(60):
        speed.learn(1000, 100)
    assert speed.usual_length == pytest.approx(1000, rel=0.02)
    assert speed.seconds_for(1000) == pytest.approx(100, rel=0.02)
    assert speed.remaining_seconds(600, 60) == pytest.approx(40, rel=0.05)


def test_nothing_is_learnt_from_an_answer_without_text_or_time() -> None:
    speed = WritingSpeed()
    before = speed.seconds_for(100)
    for characters, seconds in ((0, 5.0), (5, 0.0), (-5, 5.0)):
        speed.learn(characters, seconds)
    assert speed.seconds_for(100) == before


def test_an_answer_slower_than_usual_takes_longer() -> None:
    speed = WritingSpeed(characters=400, seconds=20)
    assert speed.remaining_seconds(200, 40) > speed.remaining_seconds(200, 10)


@given(st.integers(0, 10**6), st.floats(0, 10**6), st.lists(st.tuples(st.integers(-5, 9999), st.floats(-1, 999))))
def test_there_is_always_some_time_left(written: int, elapsed: float, past: list[tuple[int, float]]) -> None:
    speed = WritingSpeed()
    for characters, seconds in past:
        speed.learn(characters, seconds)
    assert 0 < speed.remaining_seconds(written, elapsed) < float("inf")
