"""Make puzzles of a task of one's own: colour the corners of a dodecahedron so that joined ones differ.

    python examples/graph_colouring.py FOLDER [-n 3000] [--seed 0]

writes FOLDER/train.csv (question,answer), FOLDER/test.csv (200 more pairs) and FOLDER/relations.txt (who is joined to
whom). A question gives the colours r, g, b of a few corners, and `.` for the others, so that one colouring completes
it. docs/your-own-task.md goes on from there.
"""

import argparse
import csv
import random
from pathlib import Path

import networkx

EDGES = sorted(tuple(sorted(edge)) for edge in networkx.dodecahedral_graph().edges)
CORNERS = 20
JOINED = [[b if a == corner else a for a, b in EDGES if corner in (a, b)] for corner in range(CORNERS)]
COLOURS = "rgb"


def completions(colours: list[str], limit: int, rng: random.Random) -> list[list[str]]:
    """Return up to `limit` ways to colour the corners that are still `.`, the most constrained corner first."""
    open_corners = [corner for corner in range(CORNERS) if colours[corner] == "."]
    if not open_corners:
        return [list(colours)]

    def choices(corner: int) -> list[str]:
        taken = {colours[other] for other in JOINED[corner]}
        return [colour for colour in COLOURS if colour not in taken]

    corner = min(open_corners, key=lambda c: len(choices(c)))
    found: list[list[str]] = []
    for colour in rng.sample(choices(corner), len(choices(corner))):
        colours[corner] = colour
        found += completions(colours, limit - len(found), rng)
        if len(found) == limit:
            break
    colours[corner] = "."
    return found


def puzzle(rng: random.Random) -> tuple[str, str]:
    """Return a question with one answer: a random colouring, blanked corner by corner while it stays the only one."""
    (answer,) = completions(["."] * CORNERS, 1, rng)
    question = list(answer)
    fewest = rng.randint(0, 10)  # some puzzles keep more givens than they need
    for corner in rng.sample(range(CORNERS), CORNERS):
        question[corner] = "."
        if len(completions(question, 2, rng)) > 1:
            question[corner] = answer[corner]
        if CORNERS - question.count(".") <= fewest:
            break
    return "".join(question), "".join(answer)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", type=int, default=3000, help="puzzles to train on")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    pairs: dict[str, str] = {}
    while len(pairs) < arguments.n + 200:
        pairs.update([puzzle(rng)])
    rows = list(pairs.items())
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train.csv", rows[200:]), ("test.csv", rows[:200])):
        with (arguments.folder / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("question", "answer"), *part])
    relation = [list(edge) for edge in EDGES] + [[corner, corner] for corner in range(CORNERS)]
    (arguments.folder / "relations.txt").write_text(f"graph({relation}).symmetric()\n")


if __name__ == "__main__":
    main()
