"""The instructions that a TPU's compiler has scheduled, counted: what an operation takes once its data is near.

Takes: a folder into which the compiler wrote the finished code of one program (`write_to`).
Gives: `read`: cycles of every operation by its name in the program's text, and `seconds` of a whole step.

A TPU runs one bundle of instructions a cycle, in the order and at the distance that its compiler has laid down; so
bundles, loops multiplied out, are cycles, as long as no data is waited for. The estimates that the compiler writes
beside its operations (`hlo.Traffic.cycles`) are made before there is any code, to choose between ways of writing it: of
depthwise convolutions they are up to 13 times what the code then takes.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from corolla.chips import Chip
from corolla.hlo import Operation


def write_to(folder: Path) -> None:
    """Let the compiler write the code of what it compiles into a folder: to be called before it is loaded.

    Writing takes as long as compiling.
    """
    wish = f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true --xla_jf_dump_llo_pass_label_regex=final_bundles"
    os.environ["LIBTPU_INIT_ARGS"] = f"{os.environ.get('LIBTPU_INIT_ARGS', '')} {wish}".strip()


def read(folder: Path) -> dict[str, int]:
    """Cycles by operation, of a folder that holds the code of one program. Equal operations share the code of one."""
    found = {}
    for path in folder.glob("*-final_bundles.txt"):
        name = _FILE.fullmatch(path.name)
        if name:
            with path.open(encoding="utf-8", errors="replace") as lines:
                found[name.group(1)] = count(lines)
    return found


def seconds(operations: list[Operation], scheduled: dict[str, int], chip: Chip) -> float:
    """What a step takes on one device, its operations one after the other: code or HBM traffic, whichever is longer.

    Copies that run beside the operations take no time of their own here.
    """
    twins = {_looks(each): scheduled[each.name] for each in operations if each.cycles and each.name in scheduled}
    rate = chip.hbm_rate / chip.devices
    total = 0.0
    for each in operations:
        if not each.beside:
            cycles = scheduled.get(each.name, twins.get(_looks(each), 0))
            total += max(cycles / chip.clock, each.hbm_bytes / rate)
    return total


def _looks(operation: Operation) -> tuple[str, int]:
    """Operations that look the same are compiled once, under the name of one of them."""
    return operation.shape.replace("S(1)", ""), operation.cycles


# Code -------------------------------------------------------------------------------------------------------------

_FILE = re.compile(r"\d+-((?!TLP|<).*)-\d+-final_bundles\.txt")
_BUNDLE = re.compile(r"\s*(?:0x)?[0-9a-f]+\s+(LB)?(?:LH|LE|PB|PF|CT)?\s*:\s*([> ]*)\{(.*)")
"""Address, mark (LB: a loop's body begins), one > for every loop around it, instructions."""

_ROUNDS = re.compile(r"scmp\.\w+\.[su]32(?:\.totalorder)? %s\w+, (\d+) /\* loop exit test")
_STAGE = re.compile(r"iteration index, stage = (\d+)")
"""A loop that fetches data ahead runs two rounds more for every stage that it looks ahead, which do no work."""

_EMPTY = re.compile(r"\s*(%\d+ = vnop\s*)?\}")
"""A bundle that does nothing does not tell where it stands either."""


@dataclass
class _Loop:
    bundles: int = 0
    rounds: int = 1
    stages: int = 0

    @property
    def cycles(self) -> int:
        """Of all rounds that do work."""
        return self.bundles * max(self.rounds - 2 * self.stages, 1)


@dataclass
class _Nest:
    """The loops that are open, outermost first; the first is the whole code."""

    loops: list[_Loop] = field(default_factory=lambda: [_Loop()])

    def close(self, depth: int) -> None:
        """End the loops that are deeper than this."""
        while len(self.loops) > depth + 1:
            inner = self.loops.pop()
            self.loops[-1].bundles += inner.cycles

    def add(self, instructions: str) -> None:
        """One bundle more, in the innermost loop."""
        loop = self.loops[-1]
        loop.bundles += 1
        if rounds := _ROUNDS.search(instructions):
            loop.rounds = int(rounds.group(1))
        if len(self.loops) == 2:  # of the loops inside, none is one of these
            loop.stages = max([loop.stages, *map(int, _STAGE.findall(instructions))])


def count(lines: Iterable[str]) -> int:
    """Bundles of one operation's code, loops multiplied out; a loop of unknown rounds counts once."""
    nest = _Nest()
    for line in lines:
        bundle = _BUNDLE.match(line)
        if not bundle:
            continue
        begins, depth, instructions = bundle.group(1), bundle.group(2).count(">"), bundle.group(3)
        if not _EMPTY.match(instructions):
            nest.close(depth - 1 if begins else depth)
        if begins:
            nest.loops.append(_Loop())
        nest.add(instructions)
    nest.close(0)
    return nest.loops[0].bundles
