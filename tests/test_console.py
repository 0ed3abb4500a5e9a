"""What people see: figures in words, one line an epoch, the worst classes first, and paths with brackets unharmed."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from corolla import console, metrics
from corolla.console import ConsoleReporter, describe, duration, print_scores


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
    headline, present, accuracy, _, *rows = out.getvalue().splitlines()
    assert headline.startswith(f"macro F1, all classes     {scores.macro_f1:.4f}  95 % interval ")
    assert headline.endswith("4 classes, as the competition counts")
    assert present.startswith(f"macro F1, classes present {scores.macro_f1_present:.4f}  95 % interval ")
    assert present.endswith("3 classes have photos in val")
    assert accuracy.split() == ["accuracy", "0.5000", "6", "photos", "of", "val,", "2", "records", "skipped"]
    assert [row.split()[1] for row in rows] == ["iris", "lily", "rose", "poppy"]
    assert rows[-1].split()[2:] == ["0", "0", "0.000", "0.000", "0.000"]
