"""The programs of `step`, compiled from shapes alone: nothing is put on a device, and no device need be there.

Takes: a learner, a mesh (of real devices or of a `topology`), how many records of which size.
Gives: `lower_training`, `lower_prediction`, and `Reading`: what a compiled program needs and does.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from corolla import hlo
from corolla.mesh import by_image, copied, split
from corolla.order import DRAWS, Lanes
from corolla.resident import padded_lanes
from corolla.step import Learner, Pixels, Steps, empty_sums, predict_steps, train_steps


def _like(values: Any, sharding: NamedSharding) -> Any:
    """Shapes in the place of arrays."""
    return jax.tree.map(lambda value: jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=sharding), values)


def lower_training(learner: Learner, mesh: Mesh, lanes: Lanes, side: int) -> Any:
    """The train step over resident records of side x side pixels, lowered. Its `compile()` is the program that runs."""
    places, by_lane = (padded_lanes(lanes, mesh), lanes.steps), split(mesh)

    def numbers(dtype: Any, *more: int) -> Any:
        return jax.ShapeDtypeStruct((*places, *more), dtype, sharding=by_lane)

    images: Any = jax.ShapeDtypeStruct((*places, side, side, 3), jnp.uint8, sharding=by_image(mesh))
    pixels = Pixels(images, numbers(jnp.int32), numbers(jnp.float32))
    steps = Steps(numbers(jnp.int32), numbers(jnp.float32, DRAWS), numbers(jnp.int32))
    state, sums = _like((learner.initial_state(), empty_sums(learner.classes)), copied(mesh))
    program: Any = train_steps(learner, mesh)
    return program.lower(state, sums, pixels, steps, 0, 1)


def lower_prediction(learner: Learner, mesh: Mesh, lanes: Lanes, side: int) -> Any:
    """Logits of some steps of resident records, lowered, as evaluation and prediction run it."""
    shape = (padded_lanes(lanes, mesh), lanes.steps, side, side, 3)
    images = jax.ShapeDtypeStruct(shape, jnp.uint8, sharding=by_image(mesh))
    values = _like(learner.initial_state()[:2], copied(mesh))
    program: Any = predict_steps(learner.model, mesh, learner.image_size)
    return program.lower(*values, images, np.bool_(False), np.int32(0), np.int32(1))


@dataclass(frozen=True)
class Reading:
    """A compiled program: operations and traffic of one step on one device, and the memory it takes there [bytes].

    flops: by XLA's count; accessed: all operands and results by XLA's count, on-chip memory and names included;
    arguments: what is put there before (weights, optimizer, pixels); outputs: what is not written over them;
    temporaries: activations and gradients, at their peak; code: the program itself.
    """

    flops: float
    accessed: float
    traffic: hlo.Traffic
    arguments: int
    outputs: int
    temporaries: int
    code: int

    @property
    def memory(self) -> int:
        """All of it."""
        return self.arguments + self.outputs + self.temporaries + self.code


def read(compiled: Any) -> Reading:
    """What XLA's own analyses, and the program's text, say; a loop's body counts once, whatever its rounds."""
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    return Reading(
        flops=float(cost.get("flops", 0.0)),
        accessed=float(cost.get("bytes accessed", 0.0)),
        traffic=hlo.read(compiled.as_text()),
        arguments=int(memory.argument_size_in_bytes),
        outputs=int(memory.output_size_in_bytes - memory.alias_size_in_bytes),
        temporaries=int(memory.temp_size_in_bytes),
        code=int(memory.generated_code_size_in_bytes),
    )
