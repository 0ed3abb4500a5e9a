"""Scoring a run on a labelled split.

Takes: a run folder, a data folder. Gives: `Scores`, also written to RUN/evaluation-SPLIT.json.
"""

from corolla import hosts, metrics
from corolla.calibrate import calibration_error
from corolla.judge import VIEWS, judge, warn_of_learned
from corolla.metrics import Scores
from corolla.reporter import SILENT, Reporter
from corolla.run import RunFolder
from corolla.storage import AnyPath, refuse_unwritable
from corolla.types import OnBadRecord, Tta


def evaluate(
    run: AnyPath,
    data: AnyPath,
    split: str = "val",
    tta: Tta = "none",
    on_bad_record: OnBadRecord = "fail",
    reporter: Reporter = SILENT,
) -> tuple[Scores, AnyPath]:
    """Score the best weights of `run` on a split of `data`; returns the scores and the file they went to.

    Raises RunError (no such run, damaged weights, no room), DataError (broken data, or no labels).
    """
    refuse_unwritable(run)
    reporter = reporter if hosts.first() else SILENT
    judged = judge(run, data, split, tta, on_bad_record, labels=True, reporter=reporter)
    assert judged.labels is not None
    labels, probabilities, folder = judged.labels, judged.probabilities, RunFolder(run)
    names = hosts.from_first(folder.names)
    learned = hosts.from_first(lambda: warn_of_learned(folder.learned(), judged.ids, reporter))
    scores = metrics.score(split, labels, probabilities, names, len(judged.bad))
    name = f"evaluation-{split}.json"
    errors = {f"by_{kind}": calibration_error(labels, probabilities, kind) for kind in ("mass", "width")}
    told = {"tta": tta, "views": len(VIEWS[tta]), "learned_records": learned, "calibration_error": errors}
    hosts.from_first(lambda: folder.write_scores(scores.to_json() | told, name) and None)
    return scores, folder.path / name
