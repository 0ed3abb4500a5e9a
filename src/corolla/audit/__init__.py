"""The audit: photos that occur twice, where that flatters, and labels that are likely wrong.

Takes: one or more DATA folders, and out-of-fold predictions where there are some. Gives: `AuditReport`; `write_clean`
writes the data without what does harm, `audit_page` a page to look at.
"""

from collections.abc import Sequence

from corolla.audit import labels
from corolla.audit.clean import Cleaned, Twins, refuse_taken, write_clean
from corolla.audit.pages import audit_page
from corolla.audit.report import AuditReport
from corolla.audit.sources import gather
from corolla.doubts import doubts
from corolla.errors import DataError
from corolla.likeness import find_twins
from corolla.reporter import SILENT, Reporter
from corolla.storage import AnyPath
from corolla.types import OnBadRecord

__all__ = ["AuditReport", "Cleaned", "Twins", "audit", "audit_page", "refuse_taken", "write_clean"]


def audit(
    data: Sequence[AnyPath | str],
    predictions: AnyPath | None = None,
    image_size: int | None = None,
    on_bad_record: OnBadRecord = "fail",
    thorough: bool = False,
    reporter: Reporter = SILENT,
) -> AuditReport:
    """Look for twins among all records of all DATA, for twins with two labels, and for labels in doubt.

    predictions: folder of `corolla cross`, or its predictions.npz. image_size: picks a folder of DATA that has several.
    thorough: also compare photos whose features are alike, which takes minutes for thousands.
    Raises WishError (no DATA, or one twice), DataError (broken data; predictions of other data), RunError (no such
    predictions, or damaged).
    """
    told = None if predictions is None else labels.out_of_fold(predictions)
    gathered = gather(data, image_size, on_bad_record, reporter)
    in_doubt, strangers = None, 0
    if told is not None:
        here = {record.id for record in gathered.records}
        found = [doubt for doubt in doubts(told) if doubt.id in here]
        strangers = sum(name not in here for name in told.ids)
        if strangers == len(told.ids):
            raise DataError(f"{predictions}: none of its {strangers} records is among the data: name the data it is of")
        in_doubt = found
    twins = find_twins(gathered.photos(), thorough=thorough, reporter=reporter)
    return AuditReport(gathered, twins, labels.conflicts(gathered, twins), in_doubt, strangers)
