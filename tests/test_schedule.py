"""Counting scheduled instructions: loops, what is no code, twins, and code that the compiler wrote."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from corolla import schedule
from corolla.chips import CHIPS
from corolla.hlo import Operation

CODE = """= control target key start
LB: loop body
= control target key end

     0   :  { %s1 = inlined_call_operand.hbm [shape: f32[8,128]] /* operand 0 */ }
   0x1   :  { %s2 = smov.u32 0 }
   0x2 LB: > { %s3 = sphi %s2, %s4 /* iteration index, stage = 1 */ }
   0x3   : > { %s4 = sadd.s32 1, %s3 }
   0x4   :  {}
   0x4   :  { %12 = vnop }
   0x5 LB: >> { %v1 = vld [vmem:[%s5] sm:$0xff] }
   0x6   : >> { %p1 = scmp.ge.s32.totalorder %s6, 7 /* loop exit test */ }
   0x7   : >> { %10 = sbr.rel (!%p1) target = $region2 }
   0x8 PF: > { %p2 = scmp.ge.s32.totalorder %s4, 12 /* loop exit test */ }
   0x9   :  { %11 = sbr.rel (!%p2) target = $region1 }
   0xa   :  {} /* exit bundle: %fusion.1 = fusion(%copy.1) */
"""
"""Two loops, one in the other: the outer one has 12 rounds, two of them without work; the inner one 7 of 3 bundles.

Bundles without work, whichever way a generation writes them, stand in a loop without saying so.
"""

COUNTED = 2 + 10 * (5 + 7 * 3) + 2


def test_loops_are_multiplied_out():
    assert schedule.count(CODE.splitlines()) == COUNTED


def test_a_loop_of_unknown_rounds_counts_once():
    unknown = CODE.replace("%s6, 7 /*", "%s6, %s7 /*")
    assert schedule.count(unknown.splitlines()) == 2 + 10 * (5 + 3) + 2


def test_rounds_that_only_fetch_ahead_do_no_work():
    assert schedule.count(CODE.replace("stage = 1", "stage = 2").splitlines()) == 2 + 8 * (5 + 7 * 3) + 2


def test_two_loops_in_a_row_are_two():
    inner = CODE[CODE.index("   0x5") : CODE.index("   0x8")]
    assert schedule.count(CODE.replace(inner, inner + inner).splitlines()) == 2 + 10 * (5 + 2 * 7 * 3) + 2


def test_only_finished_code_of_operations_is_read(tmp_path):
    for name in (
        *("17-fusion.1-01-final_bundles.txt", "17-fusion.1-00-schedule-analysis_final_bundles.txt"),
        *("17-TLP-01-final_bundles.txt", "17-<late-finalization>-01-final_bundles.txt", "17-TLP-hlo.txt"),
    ):
        (tmp_path / name).write_text(CODE)
    assert schedule.read(tmp_path) == {"fusion.1": COUNTED}


def operation(name: str, hbm_bytes: int = 0, cycles: int = 5, beside: bool = False, shape: str = "f32[8]") -> Operation:
    return Operation(name, shape, "", hbm_bytes, cycles, beside)


def test_a_step_takes_code_or_memory_whichever_is_longer():
    chip = CHIPS["v5e"]
    second = int(chip.hbm_rate)
    operations = [
        operation("slow code", hbm_bytes=second),
        operation("much memory", hbm_bytes=3 * second, shape="f32[9]"),
        operation("copied meanwhile", hbm_bytes=9 * second, beside=True),
        operation("named only", cycles=0),
    ]
    scheduled = {"slow code": int(2 * chip.clock), "much memory": int(chip.clock)}
    assert schedule.seconds(operations, scheduled, chip) == pytest.approx(5)


def test_equal_operations_share_their_code_wherever_their_results_lie():
    chip = CHIPS["v5e"]
    operations = [operation("one"), operation("its twin", shape="f32[8]S(1)"), operation("another", cycles=6)]
    assert schedule.seconds(operations, {"one": int(chip.clock)}, chip) == pytest.approx(2)


COMPILE = """
import sys
from pathlib import Path
from corolla import hlo, schedule
schedule.write_to(Path(sys.argv[1]))
from corolla.topology import topology
import jax, jax.numpy as jnp
from corolla.mesh import copied
there = topology("v5e:1x1")
x = jax.ShapeDtypeStruct((128, 1024), jnp.float32, sharding=copied(there.mesh))
text = jax.jit(lambda x: jnp.sin(x) + x).lower(x).compile().as_text()
scheduled = schedule.read(Path(sys.argv[1]))
assert set(scheduled) <= {each.name for each in hlo.operations(text)}, scheduled
print(max(scheduled.values()))
"""


@pytest.mark.tpu_compiler
def test_the_compilers_own_code_is_read(tmp_path: Path):
    """128 vectors of 1,024 numbers: a sine takes tens of instructions each, and there are four places for them."""
    beside = {**os.environ, "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}  # this process may have loaded it for another test
    words = [sys.executable, "-c", COMPILE, str(tmp_path)]
    ran = subprocess.run(words, capture_output=True, text=True, env=beside)
    assert ran.returncode == 0, ran.stderr
    assert 128 * 5 < int(ran.stdout.split()[-1]) < 128 * 200
