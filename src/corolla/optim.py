"""How weights move: AdamW with warm-up and cosine, and a moving average of the weights.

Takes: the trainable variables of a Keras model. Gives: one Keras optimizer, for the custom loop and for `fit` alike.

The schedule's length is an optimizer *variable*: a time-boxed run learns it only after it has measured a step, and a
constant would mean compiling twice. It travels in checkpoints, so a resumed run keeps its schedule by itself.
"""

from collections.abc import Mapping
from typing import Any

from corolla.backend import keras, over_replicas, replicas
from corolla.rates import part_of_peak

ops: Any = keras.ops


class AdamW(keras.optimizers.AdamW):
    """Keras' AdamW (Loshchilov & Hutter, 2019) with its schedule and a warmed-up average of the weights.

    The learning rate rises linearly from 0 over `warmup` of the steps, then falls as a half cosine to 0.
    The average's momentum is min(ema, (1 + step) / (10 + step)), so short runs forget their start too
    (the rule of TensorFlow's ExponentialMovingAverage with num_updates). Decay touches kernels only.
    """

    def __init__(
        self,
        learning_rate: float,
        warmup: float,
        weight_decay: float,
        ema: float,
        factors: Mapping[str, float] | None = None,
    ) -> None:
        """factors: by a variable's path, what its learning rate is multiplied by; 1 where none is named."""
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            beta_2=0.99,
            global_clipnorm=1.0,
            use_ema=ema > 0,
            ema_momentum=ema,
            name="adamw",
        )
        self.peak_learning_rate = learning_rate
        self.warmup = warmup
        self.total_steps = keras.Variable(1, shape=(), dtype="int32", trainable=False, name="total_steps")  # tracked
        self.factors = dict(factors or {})
        self.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])

    def build(self, var_list: list) -> None:
        """Create the optimizer's variables; the averages start at the weights themselves, not at Keras' zeros."""
        super().build(var_list)
        self._rates = [self.factors.get(variable.path, 1.0) for variable in var_list]
        self.begin_averages(var_list)

    def begin_averages(self, var_list: list) -> None:
        """Start the averages at the weights as they are now: the probe sets the head after the variables are made."""
        if self.use_ema:
            for variable, average in zip(var_list, self._model_variables_moving_average, strict=True):
                average.assign(variable)

    def _get_current_learning_rate(self) -> Any:
        done = ops.cast(self.iterations, "float32") + 1
        part = done / ops.cast(self.total_steps, "float32")
        return self.peak_learning_rate * part_of_peak(part, self.warmup, ops)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Keras' own, by the variable's own rate."""
        super().update_step(gradient, variable, learning_rate * self._rates[self._get_variable_index(variable)])

    def _apply_weight_decay(self, variables: list) -> None:
        if not self.factors:
            super()._apply_weight_decay(variables)
            return
        for variable in variables:
            if self.weight_decay and self._use_weight_decay(variable):
                rate: Any = self.learning_rate
                rate = rate * self.factors.get(variable.path, 1.0) * self.weight_decay
                variable.assign(variable - variable * ops.cast(rate, variable.dtype))

    def _clip_gradients(self, grads: list) -> list:
        """Clip by the norm of the whole batch's gradient, not by that of each replica's part."""
        count = replicas()
        if count == 1:
            return super()._clip_gradients(grads)
        return [
            gradient / count for gradient in super()._clip_gradients(over_replicas(*grads))
        ]  # Keras sums them again

    def _update_model_variables_moving_average(self, trainable_variables: list) -> None:
        if not self.use_ema:
            return
        step = ops.cast(self.iterations, "float32")
        momentum = ops.minimum(self.ema_momentum, (1 + step) / (10 + step))
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            average.assign(momentum * average + (1 - momentum) * ops.cast(variable, average.dtype))

    def finalize_variable_values(self, var_list: list) -> None:
        """Leave the weights as they are. Keras' own would end `fit` by putting the averages into their place.

        A training that goes on from here must find the weights themselves; who wants the averages knows their places.
        """

    def average_places(self) -> list[int] | None:
        """Where in `variables` the averages stand, one per trainable variable; None without averaging."""
        if not self.use_ema:
            return None
        place = {id(variable): i for i, variable in enumerate(self.variables)}
        return [place[id(average)] for average in self._model_variables_moving_average]
