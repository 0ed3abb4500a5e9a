"""A submission as its bytes have it: rows, and every fault that can be seen without the data.

Takes: a file. Gives: `Written`: ids and labels of the rows that can be used, and lines that say what is wrong.
"""

import csv
import io
import re
from dataclasses import dataclass, field

from corolla.classes import COUNT, NAMES
from corolla.errors import DataError
from corolla.storage import AnyPath

HEADER = ["id", "label"]
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_EXAMPLES = 3
LARGEST_BYTES = 100_000_000


@dataclass
class Written:
    """What a file holds. labels: by id, of the rows that can be used; faults break a submission, warnings do not."""

    path: AnyPath
    labels: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read(path: AnyPath) -> Written:
    """Read a submission. Raises DataError where there is no such file; all else is told in the result."""
    written = Written(path)
    text = _text(written)
    if text is None:
        return written
    if "\r" in text:
        written.warnings.append("lines end as on Windows (CRLF): most readers take it, plain newlines are safer")
    rows = _rows(written, text)
    if rows:
        _use(written, rows[0][1], rows)
    return written


def _text(written: Written) -> str | None:
    content = _content(written.path)
    if not content.strip():
        written.faults.append("the file is empty")
        return None
    encoding = next((name for mark, name in _BOMS.items() if content.startswith(mark)), "utf-8")
    if encoding != "utf-8":
        written.faults.append(
            f"begins with a byte order mark ({encoding}): the header is not 'id': save as plain UTF-8"
        )
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        written.faults.append(f"is no UTF-8 text (byte {error.start}): save it as a CSV file")
        return None


def _content(path: AnyPath) -> bytes:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise DataError(f"{path}: has more than {LARGEST_BYTES:,} bytes, which no submission has")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}): name a submission.csv") from error


def _rows(written: Written, text: str) -> list[tuple[int, list[str]]]:
    """(line, fields) of all rows that are not empty."""
    reader = csv.reader(io.StringIO(text, newline=""))
    found = []
    try:
        for row in reader:
            found.append((reader.line_num, row))
    except csv.Error as error:
        written.faults.append(f"line {reader.line_num}: is no CSV ({error})")
    full = [(line, row) for line, row in found if any(each.strip() for each in row)]
    if len(full) < len(found):
        written.warnings.append(f"{len(found) - len(full)} empty lines")
    return full


def _use(written: Written, first: list[str], rows: list[tuple[int, list[str]]]) -> None:
    if first == HEADER:
        rows = rows[1:]
    else:
        written.faults.append(f"the header is {','.join(first)[:60]!r}, wanted 'id,label'")
        known = [each.strip().lower() for each in first]
        if sorted(known) == HEADER:
            rows = [(line, row[::-1] if known != HEADER and len(row) == 2 else row) for line, row in rows[1:]]
        elif not (len(first) == 2 and re.fullmatch(r"\d+", first[1].strip())):
            rows = rows[1:]
    written.rows = len(rows)
    bad: dict[str, list[str]] = {}
    for line, row in rows:
        fault = _add(written, row)
        if fault:
            bad.setdefault(fault, []).append(f"line {line} {','.join(row)[:40]!r}")
    for fault, places in bad.items():
        more = f" and {len(places) - _EXAMPLES:,} more" if len(places) > _EXAMPLES else ""
        written.faults.append(f"{fault}: {', '.join(places[:_EXAMPLES])}{more}")
    if not rows:
        written.faults.append("holds no row below the header")


def _add(written: Written, row: list[str]) -> str:
    """Take a row; or say what is wrong with it."""
    if len(row) != 2:
        return "not two columns"
    name, label = row
    if not name.strip():
        return "no id"
    if name in written.labels:
        return "an id for the second time"
    if fault := label_fault(label):
        return fault
    written.labels[name] = int(label)
    return "" if name == name.strip() and label == label.strip() else "spaces around the id or the label"


def label_fault(label: str) -> str:
    """What is wrong with a label as it is written, or ""."""
    stripped = label.strip()
    if not stripped:
        return "no label"
    if stripped.lower() in NAMES:
        return f"a name for a label (write its number, 0 to {COUNT - 1})"
    if re.fullmatch(r"[+-]?\d+\.0*", stripped):
        return "a label with a decimal point (write whole numbers)"
    if not re.fullmatch(r"[+-]?\d{1,18}", stripped, re.ASCII):
        return "a label that is no number"
    if not 0 <= int(stripped) < COUNT:
        return f"a label outside 0 to {COUNT - 1}"
    return ""
