"""Corolla beside what a user would pick instead: the same work, in turn, on the same machine.

Takes: a folder of photos in the competition's layout (`--data`; a rendered sample without), which rows to run.
Gives: `docs/side_by_side.json`, and from it the table in `docs/benchmarks.md` between its two marks. Rows that were not
run this time keep what stands there, each with the machine and versions that it was measured with.

    make bench                                # all rows
    python bench/compare.py --data D --rows input predict

Peers are installed into environments of their own (.venv-peers/NAME; PyTorch's takes 6 GB), Corolla runs in this one.
Both sides of a row are started, built, compiled and warmed up; then they do rounds in turn, and the one that waits
takes no time. The ratio is that of the medians; its interval is a bootstrap over pairs of rounds.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SIDES, WORK = Path(__file__).parent / "sides", ROOT / "runs" / "bench"
STORED, PAGE = ROOT / "docs" / "side_by_side.json", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- side by side: written by bench/compare.py -->", "<!-- end of side by side -->"

PEERS = {
    "torch": ("torch", "torchvision", "timm", "onnx", "onnxscript", "pillow"),
    "tensorflow": ("tensorflow-cpu", "keras", "pillow"),
    "grain": ("grain", "simplejpeg"),
    "onnx": ("onnxruntime", "pillow"),
}
"""What is installed for each peer, the newest of each."""

PATHS = (
    "data",
    "photos",
    "train_photos",
    "val_photos",
    "photo",
    "run",
    "keras",
    "onnx",
    "weights",
    "pretrained",
    "published",
)
"""What of a wish is left out of the page."""
SCORE = "s to a score"
HERE = False
"""Whether peers are installed in this environment, and none is to be made."""
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(64 << 30)}
"""Has glibc keep the memory that is given back. On a virtual machine the pages that PyTorch otherwise takes anew for
every activation take half of its time: timm predicts at 16 to 30 images/s instead of 60."""
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
BOOTSTRAPS = 10_000


@dataclass(frozen=True)
class Side:
    """Who does the work: a script in `sides`, in an environment (None: this one)."""

    name: str
    script: str
    environment: str | None = None
    more: dict[str, Any] = field(default_factory=dict)
    """Added to the row's wish."""


OURS = Side("Corolla", "ours.py")
TIMM = Side("timm, PyTorch", "torch_timm.py", "torch", {"compile": False})
TIMM_COMPILED = Side("timm, torch.compile", "torch_timm.py", "torch", {"compile": True})
KERAS = Side("Keras on TensorFlow", "tensorflow_keras.py", "tensorflow")
ONNX = Side("timm in ONNX Runtime", "onnx_runtime.py", "onnx")


TIMM_GPU = Side("timm, torch.compile, AMP", "torch_timm.py", "torch", {"compile": True})


@dataclass(frozen=True)
class Row:
    """The same work for several sides, Corolla first. differs: where it is not quite the same."""

    name: str
    work: str
    wish: dict[str, Any]
    sides: tuple[Side, ...]
    differs: str = ""
    unit: str = "images/s"
    """Or s: then a side is a process of its own each round, from its start until it has done the work. Or s to a score:
    once each, Corolla first, whose macro F1 the others have to reach."""


def rows(files: "Files") -> list[Row]:
    """All of them, in the order of the table."""
    lite0 = {"model": "efficientnet_lite0", "size": 224, "batch": 32, "steps": 8, "cores": CORES}
    lite0 |= {"keras": str(files.keras("efficientnet_lite0")), "onnx": str(files.onnx("efficientnet_lite0"))}
    lite0["weights"] = str(files.weights("efficientnet_lite0"))
    predict = {**lite0, "steps": 16}
    resnet = {**lite0, "model": "resnet50", "steps": 2, "keras": str(files.keras("resnet50"))}
    photo = {**lite0, "run": str(files.run), "photo": str(files.photo)}
    read = {
        "data": str(files.data),
        "photos": str(files.photos),
        "split": "train",
        "size": 224,
        "batch": 32,
        "cores": CORES,
    }
    grain = Side("Grain", "grain_reader.py", "grain")
    data = Side("tf.data", "tensorflow_keras.py", "tensorflow")
    loader = Side("PyTorch DataLoader", "torch_timm.py", "torch")
    keeping = {**read, "keep": True}
    as_asked = Side("Corolla in bfloat16", "ours.py", None, {"precision": "bfloat16"})
    timm_narrow = Side(
        "timm, PyTorch in bfloat16", "torch_timm.py", "torch", {"compile": False, "precision": "bfloat16"}
    )
    blocks = (
        "Corolla solves the head first and then trains the last half of the blocks; the others train all from the "
        "start, for at most three epochs: where their score is lower, the ratio is the least that it can be"
    )
    ready = "peers get float images that are ready in memory; Corolla's step also cuts, scales and mirrors them"
    timm_norm = "; timm's ResNet-50 has its stride in the 3×3 convolution (4.1 GFLOP), Keras' in the 1×1 (3.9)"
    pretrained = {"model": "efficientnet_lite0", "data": str(files.data), "size": 224, "epochs": 20}
    pretrained["pretrained"] = str(files.keras("efficientnet_lite0", "imagenet"))
    frozen = {**pretrained, "learns": False, "words": ["--epochs", "0"]}
    tuned = {**pretrained, "learns": True, "words": ["--epochs", "1"], "epochs": 3, "timm_epochs": 3, "cores": CORES}
    tuned |= {"published": str(files.published), "train_photos": str(files.photos), "val_photos": str(files.val_photos)}
    ended_early = (
        "the recipe ends after 20 epochs at the latest: where its score is lower, the ratio is the least it can be"
    )
    jpegs = "PyTorch and Grain read JPEG files, not TFRecords; Corolla alone checks both checksums of every record"
    narrow = (
        "Corolla computes in float32 on CPUs, where that is faster; its bfloat16, which has to be asked for, beside it"
    )
    ended = "Corolla's process also checks the weights against their SHA-256, and tells the labels' names"
    return [
        Row("input", "input", read, (OURS, data, loader, grain), jpegs),
        Row("input, all pixels kept", "input", keeping, (OURS, data, loader, grain), jpegs),
        Row("train lite0", "train", lite0, (OURS, TIMM, TIMM_COMPILED, KERAS), ready),
        Row("train lite0, batch norm of the batch", "train", {**lite0, "norm": "batch"}, (OURS, TIMM, KERAS), ready),
        Row("train ResNet-50", "train", resnet, (OURS, TIMM, KERAS), ready + timm_norm),
        Row("predict lite0", "predict", predict, (OURS, TIMM, TIMM_COMPILED, ONNX, KERAS)),
        Row("predict lite0 beside bfloat16", "predict", predict, (OURS, as_asked, timm_narrow), narrow),
        Row("one photo, from nothing", "photo", photo, (OURS, TIMM, ONNX, KERAS), ended, "s"),
        Row("frozen backbone to the same macro F1", "frozen", frozen, (OURS, KERAS), ended_early, SCORE),
        Row("fine-tuned to the same macro F1", "finetune", tuned, (OURS, TIMM, KERAS), blocks, SCORE),
    ]


def gpu_rows(files: "Files") -> list[Row]:
    """The train step on a GPU: bfloat16, pixels or images resident, frozen batch norm, both sides compiled."""
    models = {"efficientnet_lite0": 512, "efficientnet_v2_s": 256, "convnext_tiny": 256, f"hub:{files.vit}": 512}
    differs = (
        "timm gets float images that are ready on the GPU; Corolla's step also cuts, scales and mirrors its pixels"
    )
    found = []
    for model, batch in models.items():
        wish = {"model": model, "size": 224, "batch": batch, "steps": 20, "precision": "bfloat16", "device": "cuda"}
        found.append(Row(f"GPU: train {Path(model).name}", "train", wish, (OURS, TIMM_GPU), differs))
    return found


# What both sides work on ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """Photos and models, made once, under runs/bench."""

    data: Path

    @property
    def photos(self) -> Path:
        """The training split as JPEG files in a folder for each class."""
        return WORK / f"photos-{self.data.name}"

    @property
    def val_photos(self) -> Path:
        """The validation split likewise."""
        return WORK / f"photos-{self.data.name}-val"

    @property
    def published(self) -> Path:
        """The published weights of lite0, as PyTorch reads them."""
        from corolla.models.efficientnet_lite import weights_file

        return weights_file("efficientnet_lite0")

    def keras(self, model: str, weights: str = "none") -> Path:
        """Corolla's backbone as a file for Keras. weights: none (random) or imagenet."""
        return WORK / (f"{model}.keras" if weights == "none" else f"{model}-{weights}.keras")

    @property
    def run(self) -> Path:
        """A run folder of lite0, trained as little as can be."""
        return WORK / "run"

    @property
    def vit(self) -> Path:
        """A ViT-S/16 as KerasHub describes it, without weights."""
        return WORK / "vit_small"

    @property
    def photo(self) -> Path:
        """One photo."""
        return next(iter(sorted(self.photos.rglob("*.jpg"))), self.photos / "none")

    def weights(self, model: str) -> Path:
        """timm's weights."""
        return WORK / f"{model}.pt"

    def onnx(self, model: str) -> Path:
        """timm's model for ONNX Runtime."""
        return WORK / f"{model}.onnx"

    def make(self, wanted: list[Row]) -> None:
        """Write what the rows need and is not there yet."""
        WORK.mkdir(parents=True, exist_ok=True)
        needed = {value for row in wanted for value in row.wish.values() if isinstance(value, str)}
        for split, folder in (("train", self.photos), ("val", self.val_photos)):
            if str(folder) in needed and not folder.is_dir():
                _unpack(self.data, split, folder)
        for row in wanted:
            for name, weights in (("keras", "none"), ("pretrained", "imagenet")):
                path = Path(row.wish.get(name, WORK))
                if not path.exists():
                    _save_keras(row.wish["model"], path, weights)
            if row.wish.get("model") == f"hub:{self.vit}" and not self.vit.is_dir():
                _save_vit(self.vit)
            if ONNX in row.sides and not Path(row.wish["onnx"]).exists():
                Running(TIMM, "export", row.wish).end()
            if row.work == "photo" and not (self.run / "scores.json").exists():
                words = ["-m", "corolla.cli", "train", self.data, "--out", self.run, "--epochs", "0"]
                subprocess.run([sys.executable, *words], check=True)


def _unpack(data: Path, split: str, out: Path) -> None:
    """Write the encoded images of a split as they stand in the records, each class in a folder of its own."""
    from corolla.records.shards import find_split, read_split

    made = out.with_name(out.name + ".part")
    for found in read_split(find_split(data, split, 224), labels="need"):
        folder = made / str(found.example.label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{found.example.id}.jpg").write_bytes(found.example.image)
    made.rename(out)


def _save_keras(model: str, path: Path, weights: str) -> None:
    from corolla.models import registry
    from corolla.models.plain import plain

    plain(registry.stock_backbone(model, 224, weights)).save(path)


def _save_vit(folder: Path) -> None:
    """timm's vit_small_patch16_224 as a preset of KerasHub."""
    try:
        import keras_hub  # pyright: ignore
    except ImportError:
        raise SystemExit(
            "a ViT-S/16 wants KerasHub: pip install 'corolla[hub]', or leave the row out (--rows)"
        ) from None
    from corolla.backend import keras

    settings = {"num_layers": 12, "num_heads": 6, "hidden_dim": 384, "mlp_dim": 1536}
    made = keras_hub.models.ViTBackbone(image_shape=(224, 224, 3), patch_size=16, use_mha_bias=True, **settings)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(keras.saving.serialize_keras_object(made), indent=1))


# Running ----------------------------------------------------------------------------------------------------------


def python(environment: str | None) -> Path:
    """The interpreter of a peer's environment, which is made where it is not there; this one's with --here."""
    if environment is None or HERE:
        return Path(sys.executable)
    folder = ROOT / ".venv-peers" / environment
    stamp = folder / "installed.json"
    found = folder / "bin" / "python"
    if not stamp.is_file() or json.loads(stamp.read_text()) != list(PEERS[environment]):
        print(f"installing {', '.join(PEERS[environment])} into {folder}", file=sys.stderr)
        if not found.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        words = [found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[environment]]
        subprocess.run(words, check=True)
        stamp.write_text(json.dumps(PEERS[environment]))
    return found


class Running:
    """A side's process. It is ready when the constructor returns."""

    def __init__(self, side: Side, work: str, wish: dict[str, Any]) -> None:
        self.side, self.rounds, begin = side, list[dict[str, float]](), time.perf_counter()
        told = json.dumps({**wish, **side.more})
        environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
        environment |= {"PYTHONPATH": str(SIDES), **KEEPING}
        self.log = (WORK / f"{Path(side.script).stem}-{work}.log").open("w")
        self.process = subprocess.Popen(
            [python(side.environment), SIDES / side.script, work, told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )
        self.told = self._answer()
        self.seconds = time.perf_counter() - begin
        self.versions = self._answer()
        self.rest()

    def rest(self) -> None:
        """Stop its threads: some peers' go on looking for work, and take time from the side whose turn it is."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()  # pyright: ignore
        if not line:
            raise SystemExit(f"{self.side.name} ended: see {self.log.name}")
        return json.loads(line)

    def round(self) -> None:
        """Let it work once."""
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.write("\n")  # pyright: ignore
        self.process.stdin.flush()  # pyright: ignore
        self.rounds.append(self._answer())
        self.rest()

    def end(self) -> None:
        """Let it go."""
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.close()  # pyright: ignore
        self.process.wait()
        self.log.close()


def _alive(row: Row, rounds: int) -> list[Running]:
    """All sides at once, a round of each in turn; the first round, which touches memory first, does not count."""
    running: list[Running] = []
    try:
        for side in row.sides:
            running.append(Running(side, row.work, row.wish))
        for number in range(rounds + 1):
            for each in running:
                each.round()
                last = each.rounds[-1]
                rate = last["images"] / last["seconds"]
                print(f"{row.name:40} {number}/{rounds} {each.side.name:26}{rate:9.1f}/s", flush=True)
                if number == 0:
                    each.rounds.clear()
    finally:  # a stopped process would not end with this one
        for each in running:
            each.end()
    return running


def _anew(row: Row, rounds: int) -> list[Running]:
    """A process of each in turn; the first round, which reads files from the disk, does not count."""
    found: list[Running] = []
    for number in range(rounds + 1):
        for place, side in enumerate(row.sides):
            each = Running(side, row.work, row.wish)
            each.round()
            each.end()
            print(f"{row.name:40} {number}/{rounds} {side.name:24}{each.seconds:9.2f} s")
            each.rounds[-1] |= {"seconds": each.seconds}
            if number == 0:
                found.append(each)
            elif number == 1:
                found[place] = each
            else:
                found[place].rounds += each.rounds
    return found


def _to_score(row: Row, rounds: int) -> list[Running]:
    """A process of each, one after the other; the others stop at Corolla's score, or after so many epochs."""
    found: list[Running] = []
    for side in row.sides:
        target = {"target": found[0].told["macro_f1"]} if found else {}
        found.append(Running(side, row.work, {**row.wish, **target}))
        found[-1].round()
        found[-1].end()
        found[-1].rounds[-1]["seconds"] = found[-1].seconds
        print(f"{row.name:40} {side.name:24}{found[-1].seconds:9.1f} s, {found[-1].told}")
    return found


def measure(row: Row, rounds: int) -> dict[str, Any]:
    """All sides of a row, in turn."""
    running = {"images/s": _alive, "s": _anew, SCORE: _to_score}[row.unit](row, rounds)
    return {
        "unit": row.unit,
        "date": date.today().isoformat(),
        "machine": machine(),
        "rounds": len(running[0].rounds),
        "wish": {name: value for name, value in row.wish.items() if name not in PATHS},
        "differs": row.differs,
        "sides": [described(each) for each in running],
        "ratios": {each.side.name: ratio(running[0].rounds, each.rounds) for each in running[1:]},
    }


def described(running: Running) -> dict[str, Any]:
    """A side's part of the JSON: images a second, round by round, and its packages."""
    rates = [each["images"] / each["seconds"] for each in running.rounds]
    processor = [each["processor_seconds"] / each["images"] * 1e3 for each in running.rounds]
    return {
        "name": running.side.name,
        "versions": running.versions,
        "ready_seconds": round(running.told["ready_seconds"], 1),
        "told": {name: value for name, value in running.told.items() if name != "ready_seconds"},
        "images_per_second": [round(rate, 6) for rate in rates],
        "median": round(median(rates), 6),
        "processor_ms_per_image": round(median(processor), 2),
        "peak_bytes": max(each["peak_bytes"] for each in running.rounds),
    }


def ratio(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> list[float]:
    """Corolla's median rate over the peer's, and the 95 % interval of a bootstrap over pairs of rounds."""
    one, other = (np.array([each["images"] / each["seconds"] for each in rounds]) for rounds in (ours, theirs))
    drawn = np.random.default_rng(0).integers(0, len(one), (BOOTSTRAPS, len(one)))
    spread = np.median(one[drawn], axis=1) / np.median(other[drawn], axis=1)
    low, high = np.quantile(spread, [0.025, 0.975])
    return [round(float(value), 3) for value in (np.median(one) / np.median(other), low, high)]


def machine() -> str:
    """One line for people."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{CORES} cores of {name}, {platform.system()} {platform.release()}"


# The page ---------------------------------------------------------------------------------------------------------


def table(stored: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [
        "| row | side | images/s, median (least to most) | processor ms an image | peak GB | Corolla ÷ it (95 %) |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in stored.items():
        for side in row["sides"]:
            rates = side["images_per_second"]
            shown = f"{side['median']:,.1f} ({min(rates):,.1f} to {max(rates):,.1f})"
            processor = f"{side['processor_ms_per_image']:.1f}"
            if row["unit"] == "s":
                shown, processor = f"{1 / side['median']:.2f} s ({1 / max(rates):.2f} to {1 / min(rates):.2f})", ""
            if row["unit"] == SCORE:
                shown, processor = f"{1 / side['median']:,.0f} s to macro F1 {side['told']['macro_f1']:.4f}", ""
            against = row["ratios"].get(side["name"])
            compared = "" if against is None else f"**{against[0]:.2f}**"
            compared += "" if against is None or len(rates) == 1 else f" ({against[1]:.2f} to {against[2]:.2f})"
            memory = f"{side['peak_bytes'] / 1e9:.2f}"
            lines.append(f"| {name} | {side['name']} | {shown} | {processor} | {memory} | {compared} |")
            name = ""
    lines += ["", *notes(stored)]
    return "\n".join(lines)


def notes(stored: dict[str, Any]) -> Iterator[str]:
    """What was measured on what, and where the work differs."""
    for name, row in stored.items():
        versions = {key: value for side in row["sides"] for key, value in side["versions"].items()}
        packages = ", ".join(f"{key} {value}" for key, value in versions.items() if key != "python")
        wish = ", ".join(f"{key} {value}" for key, value in row["wish"].items() if key != "cores")
        yield f"- **{name}**: {wish}; {row['rounds']} rounds, {row['date']}; {row['machine']}; {packages}."
        if row["differs"]:
            yield f"  Not the same: {row['differs']}."
        told = row["sides"][0].get("told", {})
        if "flops_an_image" in told:
            yield f"  {roofline(told, row['sides'][0]['median'])}"


def roofline(told: dict[str, float], rate: float) -> str:
    """A sentence: what XLA counts for an image, and what share of the GPU's measured ceilings that makes at `rate`."""
    flops, moved = rate * told["flops_an_image"], rate * told["bytes_an_image"]
    return (
        f"Corolla's step counts {told['flops_an_image'] / 1e9:.2f} GFLOP and {told['bytes_an_image'] / 1e6:.1f} MB "
        f"an image: {100 * flops / told['flops_a_second']:.0f} % of the {told['flops_a_second'] / 1e12:.0f} TFLOP/s "
        f"that a product reaches here, {100 * moved / told['bytes_a_second']:.0f} % of the copy's "
        f"{told['bytes_a_second'] / 1e12:.2f} TB/s."
    )


def write(stored: dict[str, Any], into: Path, page: Path) -> None:
    """The JSON, and the table between the page's marks; a page that is not there becomes the table."""
    into.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
    if not page.exists():
        page.write_text(f"{BEGIN}\n\n{END}\n")
    replace_between(page, BEGIN, END, table(stored))


def replace_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put `text` between two marks of a page."""
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "runs" / "sample", help="in the competition's layout")
    parser.add_argument("--rows", nargs="+", metavar="WORD", help="rows whose names begin so; all by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--gpu", action="store_true", help="the rows that are for a GPU")
    parser.add_argument("--here", action="store_true", help="peers are installed in this environment: make none")
    parser.add_argument("--json", type=Path, default=STORED, help="where measurements stand")
    parser.add_argument("--page", type=Path, default=PAGE, help="whose table is written anew")
    wish = parser.parse_args()
    globals()["HERE"] = wish.here
    files = Files(wish.data.resolve())
    every = rows(files) + gpu_rows(files)
    asked = gpu_rows(files) if wish.gpu else rows(files)
    wanted = [row for row in asked if not wish.rows or any(row.name.startswith(word) for word in wish.rows)]
    files.make(wanted)
    stored = json.loads(wish.json.read_text()) if wish.json.is_file() else {}
    for row in wanted:
        stored[row.name] = measure(row, wish.rounds)
        write({each.name: stored[each.name] for each in every if each.name in stored}, wish.json, wish.page)


if __name__ == "__main__":
    main()
