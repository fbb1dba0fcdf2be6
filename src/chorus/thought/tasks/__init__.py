"""What a mind is trained on and asked: Sudoku, mazes, and a person's own pairs of sequences."""
