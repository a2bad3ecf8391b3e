"""What staff change is live within five seconds in every process, without a restart."""

import pytest

from core.moderation import Action, Word
from core.store import content
from tests import stores
from tests.house import House
from tests.server import User, wait_until

SECONDS = 5


@pytest.fixture
def doors(house: House) -> list[User]:
    """One user at the door of each process."""
    user = house.login()
    return [user.at(api.url) for api in house.apis]


def set_word(house: House, word: str, action: Action) -> None:
    house.database.write(stores.set_words, [Word(word, action)], "", "测试")


def test_a_word_is_blocked_masked_and_allowed_again(house: House, doors: list[User]) -> None:
    assert [door.ask("菠萝好吃吗").status_code for door in doors] == [200, 200]
    set_word(house, "菠萝", "block")
    for door in doors:
        wait_until(lambda door=door: door.ask("菠萝好吃吗").status_code == 422, SECONDS)
    set_word(house, "菠萝", "mask")
    for door in doors:
        wait_until(lambda door=door: door.ask("菠萝好吃吗").json().get("reply") == "回答：**好吃吗", SECONDS)
    set_word(house, "菠萝好吃", "allow")
    for door in doors:
        wait_until(lambda door=door: door.ask("菠萝好吃吗").json().get("reply") == "回答：菠萝好吃吗", SECONDS)
    house.database.write(stores.remove_words, "菠萝", "菠萝好吃")
    for door in doors:
        wait_until(lambda door=door: door.ask("菠萝酸吗").json().get("reply") == "回答：菠萝酸吗", SECONDS)


def test_an_answer_under_way_keeps_the_words_it_began_with(house: House, doors: list[User]) -> None:
    house.cogito.when("水果名单", pieces=["有苹果，", "有榴莲。"], hold_at=1)
    stream = doors[0].stream("水果名单")
    stream.until("delta")
    set_word(house, "榴莲", "mask")
    for door in doors:
        wait_until(lambda door=door: door.ask("榴莲").json().get("reply") == "回答：**", SECONDS)
    house.cogito.release()
    assert stream.to_end().text == "有苹果，有榴莲。"
    house.database.write(stores.remove_words, "榴莲")


def test_a_published_prompt_is_what_the_model_gets_next(house: House, doors: list[User]) -> None:
    def system(door: User, question: str) -> str:
        door.ask(question)
        return house.prompts(question)[-1][0]["content"]

    before = house.database.read(content.live_prompts)["miniprogram"].id
    old = system(doors[0], "现在听谁的")
    version = house.database.write(content.add_prompt, "你是一只猫。", "营业时间：九点到六点", "试试", "测试")
    assert system(doors[0], "还听谁的") == old, "a version that is not published changes nothing"
    house.database.write(content.publish_prompt, version, ["miniprogram"])
    for n, door in enumerate(doors):
        wait_until(lambda door=door, n=n: system(door, f"门{n}听谁的").startswith("你是一只猫。"), SECONDS)
        assert "营业时间：九点到六点" in system(door, f"门{n}几点开")
    turn = doors[1].ask("哪一版").json()
    assert house.row(turn["turn_id"]).prompt_version == version
    house.database.write(content.publish_prompt, before, ["miniprogram"])
    for n, door in enumerate(doors):
        wait_until(lambda door=door, n=n: system(door, f"门{n}又听谁的") == old, SECONDS)


def test_the_welcome_and_the_suggestions_follow(house: House, doors: list[User]) -> None:
    before = {name: doors[0].get("/api/me").json()[name] for name in ("welcome", "suggestions")}
    house.database.write(content.set_option, "welcome", "新的欢迎词")
    house.database.write(content.set_option, "suggestions", ["问这个", "问那个"])
    for door in doors:
        me = wait_until(
            lambda door=door: (me := door.get("/api/me").json())["suggestions"] == ["问这个", "问那个"] and me,
            SECONDS,
        )
        assert me["welcome"] == "新的欢迎词"
    for name, value in before.items():
        house.database.write(content.set_option, name, value)
