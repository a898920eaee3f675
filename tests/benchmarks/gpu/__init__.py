"""What one GPU does: correctness, steps, memory, evaluation and whole trials. `__main__.py` says how it is run."""

import sys
from pathlib import Path

# The other benchmarks are scripts, which find each other in their folder.
sys.path.insert(0, str(Path(__file__).parents[1]))
