"""A compiled program's text (HLO), read: what it moves, what crosses chips, what its compiler thinks it takes.

Takes: the text of a program compiled for one device (`compiled.as_text()`).
Gives: `Traffic` of the part that runs again and again (the body of its loop), and signs of what must not be there;
`operations`: the same one by one.

XLA's own "bytes accessed" counts every operand and result wherever it lies, buffers that are only named, and copies at
both of their ends. A TPU keeps much of it in on-chip memory (VMEM), which the text marks as memory space 1: here only
what lies in HBM counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

COLLECTIVES = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all"),
    *("collective-permute", "collective-broadcast"),
)


@dataclass(frozen=True)
class Collective:
    """Communication of one kind: operations a step, bytes of their results on one device, and the largest one's."""

    kind: str
    count: int
    bytes: int
    largest: int


@dataclass(frozen=True)
class Traffic:
    """One step on one device. hbm_bytes: read and written in HBM; cycles: the compiler's estimate (0: it has none)."""

    hbm_bytes: int
    cycles: int
    collectives: tuple[Collective, ...]
    float64: int
    host_calls: int


class Operation(NamedTuple):
    """One operation of a step. source: where in the model it comes from; hbm_bytes and cycles as in `Traffic`.

    beside: whether it runs beside the others (a copy that is started and waited for later).
    """

    name: str
    shape: str
    source: str
    hbm_bytes: int
    cycles: int
    beside: bool


class Instruction(NamedTuple):
    """One line: %name = shape op(arguments), rest. operands: the names in the arguments."""

    name: str
    shape: str
    op: str
    arguments: str
    operands: list[str]
    rest: str


def read(text: str) -> Traffic:
    """Read a program: the body of its largest loop, or the whole where it has none."""
    computations = _computations(text)
    body = _body(text, computations)
    each = _operations(body, computations)
    return Traffic(
        hbm_bytes=sum(operation.hbm_bytes for operation in each),
        cycles=sum(operation.cycles for operation in each),
        collectives=_collectives(body),
        float64=len(re.findall(r"\bf64\[", text)),
        host_calls=len(_HOST.findall(text)),
    )


def operations(text: str) -> list[Operation]:
    """What `read` adds up, in the order in which it runs."""
    computations = _computations(text)
    return _operations(_body(text, computations), computations)


def _operations(body: list[Instruction], computations: dict[str, list[Instruction]]) -> list[Operation]:
    shapes = {line.name: line.shape for line in body}
    return [
        Operation(
            name=line.name,
            shape=line.shape,
            source="".join(_SOURCE.findall(line.rest)[:1]),
            hbm_bytes=_hbm_bytes(line, shapes, computations),
            cycles=sum(map(int, _CYCLES.findall(line.rest))),
            beside=line.op in _ASYNCHRONOUS,
        )
        for line in body
    ]


# Text -------------------------------------------------------------------------------------------------------------

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_LINE = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_OPERATION = re.compile(r"^\s*([\w\-]+)\(")
_SOURCE = re.compile(r'op_name="([^"]*)"')
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_HOST = re.compile(r" (?:infeed|outfeed|send|recv)\(|custom_call_target=\"[^\"]*[cC]allback[^\"]*\"")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\](\{[^}]*\})?")


def _computations(text: str) -> dict[str, list[Instruction]]:
    """Every computation of the program by name."""
    found: dict[str, list[Instruction]] = {}
    lines: list[Instruction] = []
    for line in text.splitlines():
        if start := _COMPUTATION.match(line):
            lines = found.setdefault(start.group(1), [])
        elif parsed := _LINE.match(line):
            instruction = _instruction(*parsed.groups())
            if instruction:
                lines.append(instruction)
    return found


def _instruction(name: str, rest: str) -> Instruction | None:
    end = _end_of_bracket(rest, 0) if rest.startswith("(") else rest.index(" ")
    operation = _OPERATION.match(rest[end:])
    if not operation:
        return None
    begin = end + operation.end() - 1
    stop = _end_of_bracket(rest, begin)
    arguments = rest[begin + 1 : stop - 1]
    return Instruction(
        name, rest[:end], operation.group(1), arguments, re.findall(r"%([\w.\-]+)", arguments), rest[stop:]
    )


def _end_of_bracket(text: str, begin: int) -> int:
    """One past the bracket that closes the one at `begin`."""
    depth = 0
    for place in range(begin, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if not depth:
            return place + 1
    return len(text)


def _body(text: str, computations: dict[str, list[Instruction]]) -> list[Instruction]:
    bodies = [computations[name] for name in re.findall(r" while\(.*body=%?([\w.\-]+)", text)]
    entry = re.findall(r"^ENTRY %?([\w.\-]+)", text, re.MULTILINE)
    return max(bodies or [computations[name] for name in entry], key=len, default=[])


# Bytes ------------------------------------------------------------------------------------------------------------

_FREE = (
    *("parameter", "get-tuple-element", "tuple", "bitcast", "constant", "iota", "while", "after-all"),
    *("partition-id", "replica-id", "copy-done", "slice-done", "async-done", "all-reduce-done", "all-gather-done"),
    "collective-permute-done",
)
"""Operations that move nothing, or whose first half was counted."""

_NAMED_ONLY = ("ConcatBitcast", "AllocateBuffer", "Sharding", "GetTupleElement")


def _sizes(shape: str) -> Iterator[tuple[int, bool]]:
    """(bytes, whether it lies in HBM) of every array in a shape."""
    for dtype, dims, layout in _ARRAY.findall(shape):
        bits = 8 if dtype == "pred" else int(re.findall(r"\d+", dtype)[0])
        count = prod(int(n) for n in dims.split(",") if n)
        yield count * bits // 8, "S(" not in layout


def _in_hbm(shape: str) -> int:
    return sum(size for size, hbm in _sizes(shape) if hbm)


_ASYNCHRONOUS = ("copy-start", "slice-start")


def _hbm_bytes(line: Instruction, shapes: dict[str, str], computations: dict[str, list[Instruction]]) -> int:
    """What an instruction reads and writes in HBM. shapes: of all instructions beside it."""
    if line.op in _FREE or any(name in line.rest for name in _NAMED_ONLY):
        return 0
    if line.op in _ASYNCHRONOUS:
        return _copied(line, shapes)
    called = re.search(r"calls=%?([\w.\-]+)", line.rest)
    inside = computations.get(called.group(1), []) if called else [line]
    return _written(line, inside) + _read_bytes(line, inside, shapes)


def _copied(line: Instruction, shapes: dict[str, str]) -> int:
    """An asynchronous copy: as many bytes as arrive, read where the source lies, written where the copy lies."""
    source_in_hbm = any(hbm for _, hbm in _sizes(shapes.get(line.operands[0], "")))
    arrays = list(_sizes(line.shape))
    size, in_hbm = arrays[0] if line.op == "copy-start" else arrays[1]
    return size * (source_in_hbm + in_hbm)


def _written(line: Instruction, inside: list[Instruction]) -> int:
    """Results; an update in place writes its update alone."""
    updates = [part for part in inside if part.op == "dynamic-update-slice" and part is inside[-1]]
    if updates:
        shapes = {part.name: part.shape for part in inside}
        return sum(size for size, _ in _sizes(shapes.get(updates[0].operands[1], "")))
    return _in_hbm(line.shape)


_PARTIAL = ("dynamic-slice", "gather", "dynamic-update-slice", "slice")


def _read_bytes(line: Instruction, inside: list[Instruction], shapes: dict[str, str]) -> int:
    """Operands; of one that is only sliced, the slices alone."""
    total = 0
    parameters = {int(part.arguments): part.name for part in inside if part.op == "parameter"}
    for place, operand in enumerate(line.operands):
        if operand in line.operands[:place] or operand not in shapes:
            continue
        name = parameters.get(place, operand)
        users = [part for part in inside if name in part.operands and part.op != "bitcast"]
        if users and all(part.op in _PARTIAL and part.operands[0] == name for part in users):
            total += sum(_in_hbm(shapes[operand]) and _taken(part) for part in users)
        else:
            total += _in_hbm(shapes[operand])
    return total


def _taken(part: Instruction) -> int:
    """Bytes that a slice takes; an update in place reads nothing of what it updates."""
    return 0 if part.op == "dynamic-update-slice" else sum(size for size, _ in _sizes(part.shape))


# Communication ----------------------------------------------------------------------------------------------------


def _collectives(body: list[Instruction]) -> tuple[Collective, ...]:
    """By kind; an operation in two halves counts once."""
    sizes: dict[str, list[int]] = {}
    for line in body:
        kind = line.op.removesuffix("-start")
        if kind in COLLECTIVES:
            arrays = [size for size, _ in _sizes(line.shape)]
            both = line.op.endswith("-start") and kind != "all-reduce"  # operands stand beside the results
            sizes.setdefault(kind, []).append(sum(arrays[len(arrays) // 2 :] if both else arrays))
    return tuple(Collective(kind, len(found), sum(found), max(found)) for kind, found in sorted(sizes.items()))
