"""What people see: figures in words, one line an epoch, the worst classes first, and paths with brackets unharmed."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from corolla import console, metrics
from corolla.console import ConsoleReporter, describe, duration, print_diagnosis, print_scores


def screen(width: int = 100, terminal: bool = False) -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, width=width, force_terminal=terminal, color_system=None), out


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (3599, "59:59 min"), (3725, "1:02 h")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_figures_in_words():
    figures = {"loss": 1.2345, "macro_f1": 0.5, "images_per_second": 1234.5, "seconds_left": 30.0}
    assert describe(figures) == "loss 1.234  macro F1 0.500  1,234 images/s  30 s left"
    assert describe({}) == ""


def line(epoch: int, best: bool) -> dict:
    figures = {"train_loss": 1.0, "val_loss": 2.0, "val_macro_f1_present": 0.25, "val_accuracy": 0.5}
    return {"epoch": epoch, "best": best, **figures}


def test_one_line_an_epoch_however_narrow_the_terminal():
    shown, out = screen(width=20)
    with ConsoleReporter(shown) as reporter:
        reporter.epoch(line(0, True))
        reporter.epoch(line(7, False))
    assert out.getvalue().splitlines() == [
        "probe    train loss 1.000  val loss 2.000  macro F1 0.2500  accuracy 0.5000 best so far",
        "epoch 7  train loss 1.000  val loss 2.000  macro F1 0.2500  accuracy 0.5000",
    ]


def test_brackets_are_no_markup():
    shown, out = screen(width=20)
    with ConsoleReporter(shown) as reporter:
        reporter.note("runs/[bold]x[/y]")
        reporter.warn("runs/[/red]")
    assert out.getvalue() == "runs/[bold]x[/y]\nwarning: runs/[/red]\n"


def test_a_log_file_gets_a_line_of_progress_now_and_then(monkeypatch):
    now = 0.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    shown, out = screen()
    with ConsoleReporter(shown) as reporter:
        for done in range(100):
            now += 1.0
            reporter.progress("epoch 1", done, 100, loss=0.5)
    assert out.getvalue().splitlines() == [f"epoch 1: {done} of 100  loss 0.500" for done in (30, 61, 92)]


def test_a_terminal_gets_a_bar_that_goes_away():
    shown, out = screen(terminal=True)
    with ConsoleReporter(shown) as reporter:
        reporter.progress("reading train", 1, 2)
        reporter.progress("epoch 1", 1, 2, loss=0.5)
        reporter.bar.refresh()
    assert "epoch 1" in out.getvalue() and "loss 0.500" in out.getvalue()


def test_scores_say_which_macro_f1_is_which_and_list_the_worst_first():
    labels = np.array([0, 0, 1, 1, 2, 2])
    probabilities = np.eye(4)[[0, 0, 1, 0, 0, 1]]
    scores = metrics.score("val", labels, probabilities, ["rose", "lily", "iris", "poppy"], skipped_records=2)
    shown, out = screen()
    print_scores(shown, scores, table=True)
    headline, present, accuracy, _, *tables = out.getvalue().splitlines()
    rows, costs = tables[: tables.index("")], tables[tables.index("") + 1 :]
    assert headline.startswith(f"macro F1, all classes     {scores.macro_f1:.4f}  95 % interval ")
    assert headline.endswith("4 classes, as the competition counts")
    assert present.startswith(f"macro F1, classes present {scores.macro_f1_present:.4f}  95 % interval ")
    assert present.endswith("3 classes have photos in val")
    assert accuracy.split() == ["accuracy", "0.5000", "6", "photos", "of", "val,", "2", "records", "skipped"]
    assert [row.split()[1] for row in rows] == ["iris", "lily", "rose", "poppy"]
    assert rows[-1].split()[2:] == ["0", "0", "0.000", "0.000", "0.000"]
    assert " ".join(costs[0].split()) == "costs you most macro F1 lost confused with taken for it it for this"
    assert [row.split() for row in costs[1:]] == [
        ["iris", "0.2500", "rose", "1", "0"],
        ["lily", "0.1250", "rose", "1", "0"],
        ["rose", "0.0833", "lily", "0", "1"],
    ]


def test_the_costliest_classes_alone_are_shown_and_none_where_all_is_right():
    names = [f"kind{label:02d}" for label in range(30)]
    labels = np.arange(60) % 30
    predictions = np.where(np.arange(60) < 20, (labels + 1) % 30, labels)
    shown, out = screen()
    print_scores(shown, metrics.score("val", labels, np.eye(30)[predictions], names), table=True)
    lines = out.getvalue().splitlines()
    assert len(lines) - lines.index("") == 2 + console.COSTLIEST
    shown, out = screen()
    print_scores(shown, metrics.score("val", labels, np.eye(30)[labels], names), table=True)
    assert "costs" not in out.getvalue()


def diagnosis(**changes) -> dict:
    """What `doctor` tells of a machine with two cores, as JSON."""
    vitals = {
        **{"devices": "2 CPU cores", "platform": "cpu", "backend": "jax", "data_size": 224, "photo_bytes": 15_400.0},
        **{"train_records": 6211, "val_records": 1555, "reading": 4600.0, "transfer_bytes_per_second": 6.2e9},
        **{"training": 38.0, "evaluation": 108.0, "train_compile_seconds": 14.0, "predict_compile_seconds": 4.0},
    }
    seconds = (1.7, 0.2, 22.0, 129.0, 817.0, 72.0)
    run = dict(zip(("reading", "transfer", "compiling", "features", "steps", "evaluation"), seconds, strict=True))
    memory = {"host": 20e9, "device": 20e9, "disk": 50e9, "pixels": 1.17e9, "resident": True}
    return {
        **{"usable": True, "findings": [], "requirements": 32, "versions": {"jax": "0.10.2", "libtpu": None}},
        **{"image_size": 224, "batch_size": 32, "epochs": 5, "painted": False, "vitals": vitals, "run": run},
        "memory": memory | {"competition_pixels": 2.48e9, "competition_resident": False},
        **{"bottleneck": "steps", "change": "--train-blocks 4 (now 9 of 18), or a GPU", "seconds": 47.2},
        **changes,
    }


def test_a_diagnosis_fits_a_narrow_terminal():
    shown, out = screen(width=80)
    print_diagnosis(shown, diagnosis())
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    words = [" ".join(line.split()) for line in text.splitlines()]
    assert "devices 2 CPU cores, Keras on jax" in words
    assert "versions jax 0.10.2; 32 of 32 requirements met" in words
    assert "all labelled photos of the competition: 2.48 GB, streamed" in words
    assert "reading 4,600 images/s JPEGs 2 s" in words and "transfer 6.2 GB/s 0 s" in words
    assert "steps 38 images/s 32 a step 13:37 min ███████████" in words
    assert "bottleneck steps, 78% of 17:22 min" in words and "verdict usable, examined in 47 s" in words


def test_a_diagnosis_of_what_does_not_work():
    shown, out = screen(width=80)
    finding = {"level": "broken", "what": "training fails here: [jax]", "change": "pip install 'jax[cuda12]'"}
    nothing = dict.fromkeys(("vitals", "memory", "run", "bottleneck", "change"))
    print_diagnosis(shown, diagnosis(usable=False, findings=[finding], **nothing))
    words = " ".join(out.getvalue().split())
    assert "broken training fails here: [jax]; change: pip install 'jax[cuda12]' verdict not usable as it is" in words


def test_steps_that_were_not_measured_are_left_out():
    shown, out = screen(width=80)
    found = diagnosis(run=None, bottleneck=None)
    unmeasured = dict.fromkeys(("training", "evaluation", "train_compile_seconds", "predict_compile_seconds"))
    print_diagnosis(shown, found | {"vitals": found["vitals"] | unmeasured})
    assert "steps" not in out.getvalue() and "4,600 images/s" in out.getvalue()
