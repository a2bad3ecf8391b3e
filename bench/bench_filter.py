"""What the word filter costs: `python bench/bench_filter.py`.

CPU time of this process, the best of several runs, on Chinese text without a hit. The words are made of the
same 3,500 characters as the text, so nearly every character begins one: real lists are kinder.
"""

import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.moderation import Word, WordFilter

LENGTHS = (2, 2, 3, 3, 4, 4, 5, 6, 8)
PIECE = 2


def main() -> None:
    chance = random.Random(5)
    characters = [chr(code) for code in chance.sample(range(0x4E00, 0x9FA6), 3_500)]

    def some(length: int) -> str:
        return "".join(chance.choices(characters, k=length))

    print(f"{'words':>8} {'load':>10} {'update':>10} {'check 500':>12} {'per token':>12} {'held back':>12}")
    for count in (2, 1_000, 100_000):
        words = [Word(some(chance.choice(LENGTHS))) for _ in range(count)]
        load = best_of(3, partial(WordFilter, words))
        filter_ = WordFilter(words)
        update = best_of(3, partial(filter_.updated, [*words[1:], Word("一个新词")]))
        text = next(text for _ in range(10_000) if not filter_.find(text := some(500)))
        check = best_of(500, partial(filter_.check, text))
        stream = best_of(100, partial(streamed, filter_, text))
        print(
            f"{count:>8,} {load * 1e3:>7.1f} ms {update * 1e3:>7.1f} ms {check * 1e6:>9.1f} µs"
            f" {stream / len(text) * PIECE * 1e6:>9.1f} µs {held_back(filter_, text):>6.2f} chars"
        )


def streamed(words: WordFilter, text: str) -> None:
    guard = words.guard()
    for at in range(0, len(text), PIECE):
        guard.feed(text[at : at + PIECE])
    guard.flush()


def held_back(words: WordFilter, text: str) -> float:
    """How many characters are waiting after a piece, on average."""
    guard = words.guard()
    released = waiting = 0
    for end in range(PIECE, len(text) + 1, PIECE):
        released += len(guard.feed(text[end - PIECE : end]))
        waiting += end - released
    return waiting / (len(text) / PIECE)


def best_of(times: int, run: Callable[[], object]) -> float:
    """CPU seconds."""
    seconds = []
    for _ in range(times):
        start = process_time()
        run()
        seconds.append(process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
