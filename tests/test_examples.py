"""What the README and the notebook show runs, top to bottom."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "petals.ipynb"

SMALL = """
DATA, RUNS = Path({data!r}), Path("runs")
MODEL, WEIGHTS, IMAGE_SIZE, EPOCHS, BATCH_SIZE = "micro", "none", 32, 1, 8
"""


def run(program: str, folder: Path) -> str:
    """Run a program in a process of its own, in a folder; return what it prints."""
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_notebook_runs_top_to_bottom(flowers, tmp_path):
    """With a small model and small data set where its parameters stand, as papermill would."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    parts = []
    for cell in cells:
        parts.append("".join(cell["source"]))
        if "parameters" in cell["metadata"].get("tags", []):
            parts.append(SMALL.format(data=str(flowers)))
    printed = run("\n".join(parts), tmp_path)
    by_fit, by_loop = re.search(r"macro F1 ([\d.]+) by fit, ([\d.]+) by the custom loop", printed).groups()
    assert by_fit == by_loop
    assert len((tmp_path / "submission.csv").read_text().splitlines()) == 10


def test_the_notebook_is_kept_without_outputs():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None


EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_of_the_readme_run(flowers, tmp_path, number):
    """On a small data set under the name that the README uses."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "sample").symlink_to(flowers)
    run(EXAMPLES[number], tmp_path)
