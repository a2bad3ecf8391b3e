"""`make bench`: every benchmark after the other, each with its table. They measure; they judge nothing."""

import subprocess
import sys

BENCHMARKS = (
    ("Word filter", ["bench.bench_filter"]),
    ("1,000 answers at once", ["bench.streams"]),
    ("The same cost with 1,000 and 100,000 turns", ["bench.history_cost", "1000", "100000"]),
    ("The console's log and dashboards with 100,000 turns", ["bench.console_figures", "--turns", "100000"]),
    ("Official account: 200 followers, a model of 3 s", ["bench.bench_callback", "--model", "3"]),
    ("Official account: pushes a second", ["bench.push_rate"]),
    ("Console: the first token on the screen", ["bench.console_first_token"]),
    ("Console: the log and the figures with 100,000 turns", ["bench.console_figures", "--turns", "100000"]),
)


def main() -> int:
    failed = []
    for title, (module, *arguments) in BENCHMARKS:
        print(f"\n== {title}", flush=True)
        if subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode:
            failed.append(title)
    print("\n" + ("Did not finish: " + ", ".join(failed) if failed else "All benchmarks finished."))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
