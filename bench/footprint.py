"""What an installation takes: megabytes on the disk, seconds and memory to import it; Corolla and its peers.

Takes: nothing. Gives: `docs/footprint.json`, and from it a table in `docs/benchmarks.md` between marks.

    python bench/footprint.py

Every environment is one of its own (.venv-peers/NAME), filled by pip without compiling to bytecode; what it weighs is
all that lies in its site-packages but pip and setuptools. Imports are timed in a process of their own, after one
that counts for nothing (it writes bytecode, and reads the files from the disk); the weight is taken before it.
"""

import json
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import compare

STORED = compare.ROOT / "docs" / "footprint.json"
BEGIN, END = "<!-- footprint: written by bench/footprint.py -->", "<!-- end of footprint -->"
ROUNDS = 7
WHAT: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("corolla", (str(compare.ROOT),), ("corolla", "corolla.train", "corolla.identify")),
    ("timm", ("torch", "torchvision", "timm"), ("timm",)),
    ("keras-tensorflow", ("tensorflow-cpu", "keras"), ("keras",)),
    ("grain", ("grain",), ("grain",)),
    ("onnxruntime", ("onnxruntime", "pillow"), ("onnxruntime",)),
)
"""Environment, what is installed into it, what is imported."""
OWN = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "wheel")
TELL = "import resource; {} ; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """A new environment's folder, or the one that is there with just these packages."""
    folder = compare.ROOT / ".venv-peers" / f"footprint-{name}"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        words = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile"]
        subprocess.run([*words, "--disable-pip-version-check", *packages], check=True)
        (folder / "done").write_text(str(megabytes(folder)))
    return folder


def megabytes(folder: Path) -> float:
    """What lies in its site-packages: bytes of the files themselves, each once."""
    (packages,) = folder.glob("lib/python*/site-packages")
    files = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
    kept = (path for path in files if not path.relative_to(packages).parts[0].startswith(OWN))
    return sum(path.stat().st_size for path in kept) / 1e6


def imported(python: Path, module: str) -> tuple[float, float]:
    """(seconds, megabytes of memory) of a process that imports it, medians."""
    seconds, memory = [], []
    told = {**os.environ, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        line = [python, "-c", TELL.format(f"import {module}")]
        done = subprocess.run(line, capture_output=True, text=True, check=True, env=told)
        seconds.append(time.perf_counter() - begin)
        memory.append(int(done.stdout) / (1e6 if sys.platform == "darwin" else 1e3))
    return median(seconds[1:]), median(memory[1:])


def table(stored: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    lines = ["| installed | MB | import | seconds | MB of memory |", "|---|---|---|---|---|"]
    for row in stored["rows"]:
        for i, (module, (seconds, memory)) in enumerate(row["imports"].items()):
            first = f"{row['packages']} | {row['megabytes']:,.0f}" if i == 0 else " | "
            lines.append(f"| {first} | `{module}` | {seconds:.2f} | {memory:.0f} |")
    return "\n".join(
        [*lines, "", f"A process each, Python's own start included; {stored['date']}; {stored['machine']}."]
    )


def main() -> None:
    rows = []
    for name, packages, modules in WHAT:
        folder = environment(name, packages)
        size = float((folder / "done").read_text())
        imports = {module: imported(folder / "bin" / "python", module) for module in modules}
        shown = ", ".join("corolla" if package == str(compare.ROOT) else package for package in packages)
        rows.append({"packages": shown, "megabytes": round(size), "imports": imports})
        print(rows[-1], flush=True)
    stored = {"date": date.today().isoformat(), "machine": compare.machine(), "rows": rows}
    STORED.write_text(json.dumps(stored, indent=1) + "\n")
    compare.replace_between(compare.PAGE, BEGIN, END, table(stored))


if __name__ == "__main__":
    main()
