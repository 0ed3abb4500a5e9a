"""Reading compiled programs: what crosses HBM, what crosses chips, and what must not be there."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from corolla import hlo
from corolla.hlo import Collective
from corolla.mesh import make_mesh

LOOP = """HloModule jit_run, is_scheduled=true

%fused_computation.1 (param_0: bf16[128,64], param_1: bf16[1000,64]) -> bf16[128,64] {
  %param_0 = bf16[128,64]{1,0} parameter(0)
  %param_1 = bf16[1000,64]{1,0} parameter(1)
  %slice.1 = bf16[128,64]{1,0} dynamic-slice(%param_1, %zero, %zero), dynamic_slice_sizes={128,64}
  ROOT %add.1 = bf16[128,64]{1,0} add(%param_0, %slice.1)
}

%fused_computation.2 (param_0.2: f32[1000,8], param_1.2: f32[1,8]) -> f32[1000,8] {
  %param_0.2 = f32[1000,8]{1,0} parameter(0)
  %param_1.2 = f32[1,8]{1,0} parameter(1)
  ROOT %update.1 = f32[1000,8]{1,0} dynamic-update-slice(%param_0.2, %param_1.2, %zero, %zero)
}

%body (state: (bf16[128,64], bf16[1000,64])) -> (bf16[128,64], bf16[1000,64]) {
  %state = (bf16[128,64]{1,0:T(8,128)(2,1)}, bf16[1000,64]{1,0:T(8,128)(2,1)}) parameter(0)
  %near = bf16[128,64]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%state), index=0
  %far = bf16[1000,64]{1,0:T(8,128)(2,1)} get-tuple-element(%state), index=1
  %rows = f32[1000,8]{1,0} get-tuple-element(%state), index=2
  %row = f32[1,8]{1,0} get-tuple-element(%state), index=3
  %fusion.1 = bf16[128,64]{1,0:T(8,128)(2,1)S(1)} fusion(%near, %far), kind=kLoop, calls=%fused_computation.1, \
backend_config={"window_config":{"estimated_cycles":"700"}}
  %copy-start.1 = (bf16[128,64]{1,0:T(8,128)}, bf16[128,64]{1,0:T(8,128)S(1)}, u32[]{:S(2)}) copy-start(%fusion.1)
  %copy-done.1 = bf16[128,64]{1,0:T(8,128)} copy-done(%copy-start.1)
  %slice-start.1 = ((bf16[1000,64]{1,0}), bf16[10,64]{1,0:S(1)}, s32[]{:S(2)}) slice-start(%far), slice={[0:10], [0:64]}
  %join = bf16[128,64]{1,0:S(1)} custom-call(%fusion.1), custom_call_target="ConcatBitcast"
  %fusion.2 = f32[1000,8]{1,0} fusion(%rows, %row), kind=kLoop, calls=%fused_computation.2, \
backend_config={"window_config":{"estimated_cycles":"300"}}
  %sums = (f32[8]{0}, /*index=1*/f32[2,3]{1,0}) all-reduce(%a, %b), channel_id=1, to_apply=%add
  %ahead = (bf16[4,8]{1,0}, bf16[32,8]{1,0}) all-gather-start(%c), channel_id=2, dimensions={0}
  ROOT %out = (bf16[128,64]{1,0}, bf16[1000,64]{1,0}) tuple(%copy-done.1, %far)
}

ENTRY %main (p: bf16[128,64]) -> bf16[128,64] {
  %p = bf16[128,64]{1,0} parameter(0)
  %w = (bf16[128,64]{1,0}, bf16[1000,64]{1,0}) while(%t), condition=%cond, body=%body
  ROOT %r = bf16[128,64]{1,0} get-tuple-element(%w), index=0
}
"""


def test_only_what_lies_in_hbm_counts():
    """The slice that is read of what is far, one copy outwards, one slice inwards, one row in place, and the sums."""
    small = 128 * 64 * 2
    row = 1 * 8 * 4
    across = (8 + 6) * 4 + (4 * 8 + 32 * 8) * 2
    found = hlo.read(LOOP)
    assert found.hbm_bytes == small + small + 10 * 64 * 2 + 2 * row + across


def test_the_compilers_estimates_add_up():
    assert hlo.read(LOOP).cycles == 1000
    assert hlo.read(LOOP.replace("estimated_cycles", "something_else")).cycles == 0


def test_operations_come_one_by_one():
    text = LOOP.replace("calls=%fused_computation.1, ", 'calls=%fused_computation.1, metadata={op_name="block/add"}, ')
    found = {each.name: each for each in hlo.operations(text)}
    assert (found["fusion.1"].source, found["fusion.1"].cycles, found["fusion.2"].cycles) == ("block/add", 700, 300)
    assert [each.name for each in found.values() if each.beside] == ["copy-start.1", "slice-start.1"]
    assert sum(each.hbm_bytes for each in found.values()) == hlo.read(LOOP).hbm_bytes


def test_communication_is_counted_by_kind():
    """A tuple's comments do not hide its shapes, and an operation in two halves counts its result alone."""
    assert hlo.read(LOOP).collectives == (
        Collective("all-gather", 1, 32 * 8 * 2, 32 * 8 * 2),
        Collective("all-reduce", 1, (8 + 6) * 4, (8 + 6) * 4),
    )


def test_what_must_not_be_there_is_seen():
    assert (hlo.read(LOOP).float64, hlo.read(LOOP).host_calls) == (0, 0)
    worse = LOOP.replace("f32[8]{0}", "f64[8]{0}").replace('"ConcatBitcast"', '"xla_ffi_python_cpu_callback"')
    assert (hlo.read(worse).float64, hlo.read(worse).host_calls) == (1, 1)


def test_a_program_that_this_machine_compiles():
    """A loop of products, summed over the devices: read from the text that XLA gives today."""
    mesh = make_mesh()

    def total(x):
        return jax.lax.psum(x, "data") if mesh.size > 1 else x

    def run(x, n):
        return jax.lax.fori_loop(0, n, lambda _, y: total(jnp.sin(y @ y)), x)

    whole = PartitionSpec()
    program = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=(whole, whole), out_specs=whole, check_vma=False))
    found = hlo.read(program.lower(np.ones((64, 64), np.float32), 3).compile().as_text())
    assert found.hbm_bytes >= 3 * 64 * 64 * 4
    assert [(each.kind, each.bytes) for each in found.collectives] == [("all-reduce", 64 * 64 * 4)] * (mesh.size > 1)


def test_a_callback_to_the_host_is_seen():
    def run(x):
        return jax.pure_callback(lambda y: y, jax.ShapeDtypeStruct((4,), np.float32), x)

    text = jax.jit(run).lower(np.ones(4, np.float32)).compile().as_text()
    assert hlo.read(text).host_calls == 1
