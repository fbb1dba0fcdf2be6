"""What a mind is trained on and asked: Sudoku, mazes, and a person's own pairs of sequences.

The generators and symmetries are compiled by numba, which takes a second to import; they live in modules of their own
(`sudoku_generator`, `sudoku_bank`, `sudoku_symmetry`, `maze_generator`) that a task imports when it needs them.
"""

from chorus.thought.tasks.loading import TASK_NAMES, Pairs, load_pairs, make_task, task_from_dict
from chorus.thought.tasks.maze import MazeTask, maze
from chorus.thought.tasks.pairs import PairsTask, read_relations
from chorus.thought.tasks.reading import Record, read_problems
from chorus.thought.tasks.sudoku import SudokuTask, sudoku
from chorus.thought.tasks.task import Task
from chorus.thought.tasks.writing import parse_range, write_pairs

__all__ = [
    "TASK_NAMES",
    "MazeTask",
    "Pairs",
    "PairsTask",
    "Record",
    "SudokuTask",
    "Task",
    "load_pairs",
    "make_task",
    "maze",
    "parse_range",
    "read_problems",
    "read_relations",
    "sudoku",
    "task_from_dict",
    "write_pairs",
]
