"""Followers of the official account under load and kills, against the desk simulator.

python -m bench.bench_callback                          every model time, both kinds of account, every mode
python -m bench.bench_callback --database postgresql    the same there; may be given several times
python -m bench.bench_callback --model 3 --kill 3       a 3 s model, kill -9 of a random api process every 3 s

Every follower asks once, all within `--within` seconds, and keeps answering 继续 until the answer is whole. Shown per
run: whole and right answers, model calls, the slowest answered delivery, deliveries left unanswered (in any 5
minutes at most WECHAT_SILENT_PER_5_MIN, 20), 服务出现故障, the load before it. A promise that was not kept is
named below its run, and the exit status is 1 then.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.followers import Result, Stand, run
from core.settings import Settings
from tests.databases import fresh_database

MODES = ("safe", "plain", "compatible")
LONG_SECONDS = 30  # a model this slow is tried in one mode per kind of account
ANSWER_SECONDS, SILENT = 5.0, Settings.model_fields["wechat_silent_per_5_min"].default
COLUMNS = (
    f"{'database':10} {'account':8} {'mode':10} {'model':>5}  {'right':>9} {'calls':>5} {'slowest':>7} {'silent':>6} "
    f"{'failed':>6} {'doubled':>7} {'pushed':>6} {'kills':>5} {'took':>5} {'load':>5}"
)


def runs(args: argparse.Namespace) -> Iterator[tuple[str, bool, str, float]]:
    """Database, whether the account may push, mode, seconds of the model."""
    kinds = {"passive": [False], "push": [True], "both": [False, True]}[args.kind]
    for database in args.database or ["sqlite"]:
        for pushes in kinds:
            for seconds in args.model or [1, 3, 6, 12, 40]:
                modes = args.mode or (MODES[pushes : pushes + 1] if seconds > LONG_SECONDS else MODES)
                for mode in modes:
                    yield database, pushes, mode, seconds


def one(args: argparse.Namespace, database: str, pushes: bool, mode: str, seconds: float) -> bool:
    """Whether every promise was kept."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, fresh_database(database, folder := Path(name)) as url:
        stand = Stand(folder, mode=mode, pushes=pushes, workers=args.workers, database=url)
        try:
            stand.wait_ready()
            result = run(stand, args, seconds)
        finally:
            stand.close()
        log = stand.server.log
    kind = "push" if pushes else "passive"
    print(f"{database:10} {kind:8} {mode:10} {seconds:5g}  {_told(result)} {load:5.1f}", flush=True)
    broken = _broken(result)
    for line in [*broken, *result.wrong[:5], *result.failures[:5]]:
        print("   ", line, flush=True)
    if "Traceback" in log:
        print(log[-3000:])
    return not broken


def _broken(result: Result) -> list[str]:
    """The promises that were not kept. Each kill may double a piece, and have an answer written anew."""
    promises = {
        "every follower has the right and whole answer": result.right == result.followers,
        "one model call each": result.calls == result.followers or bool(result.kills),
        f"every answered delivery < {ANSWER_SECONDS:g} s": result.slowest < ANSWER_SECONDS,
        "never 服务出现故障": not result.failures,
        f"silence within the budget of {SILENT}": result.most_silent <= SILENT or bool(result.kills),
        "at most one piece doubled per kill": result.doubled <= result.kills,
    }
    return [f"NOT KEPT: {promise}" for promise, kept in promises.items() if not kept]


def _told(result: Result) -> str:
    return (
        f"{result.right:4}/{result.followers:4} {result.calls:5} {result.slowest:6.2f}s {result.silent:6} "
        f"{len(result.failures):6} {result.doubled:7} {result.pushed:6} {result.kills:5} {result.seconds:4.0f}s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=float, action="append", help="seconds per answer")
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument("--kind", choices=("passive", "push", "both"), default="both")
    parser.add_argument("--database", action="append", choices=("sqlite", "postgresql", "mysql"))
    parser.add_argument("--followers", type=int, default=200)
    parser.add_argument("--within", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sentences", type=int, default=30)
    parser.add_argument("--patience", type=float, default=90.0)
    parser.add_argument("--kill", type=float, default=0.0, help="kill -9 a random api process every so many seconds")
    parser.add_argument("--kill-master", type=float, default=0.2, help="how many of the kills hit the master")
    args = parser.parse_args()
    print(COLUMNS)
    kept = [one(args, *each) for each in runs(args)]
    sys.exit(not all(kept))


if __name__ == "__main__":
    main()
