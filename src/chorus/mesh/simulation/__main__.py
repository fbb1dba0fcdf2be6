"""Play many schedules: `python -m chorus.mesh.simulation --schedules 100000 --first 0`."""

from __future__ import annotations

import argparse
import sys
import time

from chorus.mesh.simulation import ViolationError, run


def main() -> int:
    """Play schedules until they are done or one fails; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chorus.mesh.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=5000, help="how many seeds to play")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    started = time.monotonic()
    events = entries = accepted = crashes = 0
    for number in range(arguments.schedules):
        try:
            outcome = run(arguments.first + number)
        except ViolationError as violation:
            print(violation, file=sys.stderr)
            print("play it alone: python -m chorus.mesh.simulation --schedules 1 --first SEED", file=sys.stderr)
            return 1
        events += outcome.events
        entries += outcome.entries
        accepted += outcome.accepted
        crashes += outcome.crashes
        if (number + 1) % 1000 == 0 or number + 1 == arguments.schedules:
            print(
                f"{number + 1} schedules, {events} events, {entries} entries committed, {accepted} answers accepted, "
                f"{crashes} crashes, 0 violations, {time.monotonic() - started:.0f} s",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
