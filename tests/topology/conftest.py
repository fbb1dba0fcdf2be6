"""Lets the tests here import `dense_topology`, the definition they share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
