"""jax as a rival: a step in one jitted call, or an epoch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cases import BETA1, BETA2, EPSILON, MOMENTUM, Case
from jax import lax
from networks import position_table
from rivals import Rival

VERSION = f"jax {jax.__version__}"
MAPS = ("NHWC", "HWIO", "NHWC")


def jit(case: Case, threads: int) -> Rival:
    """The whole step jitted, parameters and optimizer state donated; Python runs ahead and waits once at the end."""
    x, y = stacked(case)
    batches = list(zip(x, y, strict=True))
    if case.predicts:
        return predicting(case, batches)
    state = first_state(case)
    compiled = jax.jit(step_of(case), donate_argnums=0)

    def call(x: Any, y: Any) -> Any:
        nonlocal state
        state, loss = compiled(state, x, y)
        return loss

    return Rival(call, batches, batches[0], VERSION, lambda: jax.block_until_ready(state))


def scan(case: Case, threads: int) -> Rival:
    """An epoch in one jitted call, the batches stacked: no Python between two steps, as in dlc."""
    state, step = first_state(case), step_of(case)
    compiled = jax.jit(
        lambda state, x, y: lax.scan(lambda state, batch: step(state, *batch), state, (x, y)), donate_argnums=0
    )

    def call(x: Any, y: Any) -> Any:
        nonlocal state
        state, losses = compiled(state, x, y)
        return losses

    x, y = stacked(case)
    return Rival(call, [(x, y)], (x[:1], y[:1]), VERSION, lambda: jax.block_until_ready(state), steps_per_call=len(x))


def predicting(case: Case, batches: list[tuple[Any, Any]]) -> Rival:
    """Each call is waited for, as one does who needs the answer."""
    parameters, states = numbers(case)
    compiled = jax.jit(lambda values, x: case.network(Layers(values, training=False), x))
    values = parameters | states

    def step(x: Any, y: Any) -> Any:
        return jax.block_until_ready(compiled(values, x))

    return Rival(step, batches, batches[0], VERSION, loss=lambda scores, y: float(loss_of(case, scores, y)))


def stacked(case: Case) -> tuple[Any, Any]:
    """X (batches, batch, …) and Y (batches, batch, …), on jax's device; (batches, T, batch, …) for recurrent layers."""
    x, y = case.data()
    targets = y.astype(np.int32) if case.classes else y
    shaped = (array.reshape(-1, case.batch, *array.shape[1:]) for array in (x, targets))
    a, b = (jnp.asarray(array.swapaxes(1, 2) if case.outline.recurrent else array) for array in shaped)
    return a, b


def numbers(case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and running statistics. Matrices are (n_in, n_out), so that no product needs a transpose of the
    weights on its way forward."""
    merged = case.outline.merged(case.parameters())
    parameters = {name: jnp.asarray(w.T if w.ndim == 2 else w) for name, w in merged.items()}
    return parameters, {name: jnp.asarray(state) for name, state in case.states().items()}


def first_state(case: Case) -> Any:
    """Parameters, running statistics, the optimizer's two averages, t."""
    parameters, states = numbers(case)
    wanted = {"sgd": 0, "momentum": 1, "adam": 2}[case.optimizer]
    averages = [jax.tree.map(jnp.zeros_like, parameters) if number < wanted else None for number in range(2)]
    return parameters, states, *averages, jnp.zeros(())


def step_of(case: Case) -> Any:
    """`step(state, x, y) -> (state, loss)`."""

    def cost(parameters: Any, states: Any, x: Any, y: Any) -> Any:
        layers = Layers(parameters | states, training=True)
        return loss_of(case, case.network(layers, x), y), layers.states

    def step(state: Any, x: Any, y: Any) -> Any:
        parameters, states, v, s, t = state
        (loss, states), gradients = jax.value_and_grad(cost, has_aux=True)(parameters, states, x, y)
        t = t + 1
        if case.optimizer == "sgd":
            change = gradients
        elif case.optimizer == "momentum":
            change = v = jax.tree.map(lambda v, dw: MOMENTUM * v + dw, v, gradients)
        else:
            v = jax.tree.map(lambda v, dw: BETA1 * v + (1 - BETA1) * dw, v, gradients)
            s = jax.tree.map(lambda s, dw: BETA2 * s + (1 - BETA2) * dw * dw, s, gradients)
            # the two corrections as factors: one multiplication an element in place of a division
            k_v, k_s = 1 / (1 - BETA1**t), 1 / (1 - BETA2**t)
            change = jax.tree.map(lambda v, s: (v * k_v) / (jnp.sqrt(s * k_s) + EPSILON), v, s)
        parameters = jax.tree.map(lambda w, dw: w - case.learning_rate * dw, parameters, change)
        return (parameters, states, v, s, t), loss

    return step


def loss_of(case: Case, scores: Any, y: Any) -> Any:
    if case.binary:
        return jnp.mean(jax.nn.softplus(scores[:, 0]) - y * scores[:, 0])
    if not case.classes:
        return jnp.sum((scores - y) ** 2) / (2 * case.batch)
    true = jnp.take_along_axis(scores, y[..., None], axis=-1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(scores, axis=-1) - true) * case.steps


def depthwise(x: Any, w: Any, stride: int, pad: int) -> Any:
    """One filter for each channel, as f x f shifted products, which XLA makes one loop: three times as fast on a CPU as
    its convolution in groups."""
    f = len(w)
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = ([slice(k, size - f + 1 + k, stride) for k in range(f)] for size in x.shape[1:3])
    return sum(x[:, rows[i], columns[j]] * w[i, j, 0] for i in range(f) for j in range(f))


class Layers:
    """`networks.Layers` on arrays (examples, n_H, n_W, n_C) or (examples, n)."""

    def __init__(self, values: dict[str, Any], training: bool) -> None:
        self.values, self.training = values, training
        self.states: dict[str, Any] = {}
        """The new running statistics."""

    def conv(
        self,
        name: str,
        x: Any,
        f: int,
        n: int,
        stride: int = 1,
        pad: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> Any:
        w = self.values[f"{name}.W"]
        if groups == x.shape[-1] > 1:
            z = depthwise(x, w, stride, pad)
        else:
            z = lax.conv_general_dilated(x, w, (stride, stride), [(pad, pad)] * 2, dimension_numbers=MAPS)
        return z + self.values[f"{name}.b"] if bias else z

    def grow(self, name: str, x: Any, f: int, n: int) -> Any:
        # filters do not overlap: a matrix product, and then each pixel's f x f places where they belong
        m, h, w, n_prev = x.shape
        filters = self.values[f"{name}.W"].transpose(2, 0, 1, 3).reshape(n_prev, f * f * n)
        z = (x.reshape(-1, n_prev) @ filters).reshape(m, h, w, f, f, n)
        return z.transpose(0, 1, 3, 2, 4, 5).reshape(m, h * f, w * f, n) + self.values[f"{name}.b"]

    def norm(self, name: str, x: Any, gamma: float = 1.0) -> Any:
        mu, s2, scale, shift = (self.values[f"{name}.{part}"] for part in ("mu", "s2", "gamma", "beta"))
        if self.training:
            mean, square = x.mean((0, 1, 2)), (x * x).mean((0, 1, 2))
            variance = square - mean * mean
            self.states |= {f"{name}.mu": 0.9 * mu + 0.1 * mean, f"{name}.s2": 0.9 * s2 + 0.1 * variance}
            mu, s2 = mean, variance
        factor = scale * lax.rsqrt(s2 + 1e-5)
        return x * factor + (shift - mu * factor)

    def dense(self, name: str, x: Any, n: int) -> Any:
        rows = x if x.ndim == 3 else x.reshape(len(x), -1)
        return rows @ self.values[f"{name}.W"] + self.values[f"{name}.b"]

    def relu(self, x: Any) -> Any:
        return jnp.maximum(x, 0)

    def relu6(self, x: Any) -> Any:
        return jnp.clip(x, 0, 6)

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def concat(self, x: Any, y: Any) -> Any:
        return jnp.concatenate((x, y), -1)

    def max_pool(self, x: Any, f: int, stride: int, pad: int = 0) -> Any:
        m, h, w, n = x.shape
        if f == stride and h % f == w % f == pad == 0:  # the gradient of a window is slower than that of a reduction
            return x.reshape(m, h // f, f, w // f, f, n).max((2, 4))
        around = ((0, 0), (pad, pad), (pad, pad), (0, 0))
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, f, f, 1), (1, stride, stride, 1), around)

    def average(self, x: Any) -> Any:
        return x.mean((1, 2))

    # --- sequences: (T, m, n) in networks with recurrent layers, (m, T, n) in others ---------------------------

    def lstm(self, name: str, x: Any, n: int, reverse: bool = False) -> Any:
        """The products of x stand before the loop."""
        W_h = self.values[f"{name}.W_h"]

        def step(carry: Any, z: Any) -> Any:
            a, c = carry
            u, f, tilde, o = jnp.split(z + a @ W_h, 4, -1)
            c = jax.nn.sigmoid(u) * jnp.tanh(tilde) + jax.nn.sigmoid(f) * c
            a = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (a, c), a

        start = jnp.zeros((x.shape[1], n))
        z = x @ self.values[f"{name}.W_x"] + self.values[f"{name}.b"]
        return lax.scan(step, (start, start), z, reverse=reverse)[1]

    def both_ways(self, name: str, x: Any, n: int) -> Any:
        ahead, back = self.lstm(f"{name}.forward", x, n), self.lstm(f"{name}.backward", x, n, reverse=True)
        return jnp.concatenate((ahead, back), -1)

    def gru(self, name: str, x: Any, n: int) -> Any:
        W_ru, W_c = jnp.split(self.values[f"{name}.W_h"], (2 * n,), -1)

        def step(c: Any, z: Any) -> Any:
            r, u = jnp.split(jax.nn.sigmoid(z[:, : 2 * n] + c @ W_ru), 2, -1)
            c = c + u * (jnp.tanh(z[:, 2 * n :] + (r * c) @ W_c) - c)
            return c, c

        z = x @ self.values[f"{name}.W_x"] + self.values[f"{name}.b"]
        return lax.scan(step, jnp.zeros((x.shape[1], n)), z)[1]

    def attend(self, name: str, x: Any, heads: int, causal: bool) -> Any:
        m, T, n = x.shape
        three = (x @ self.values[f"{name}.W"]).reshape(m, T, 3, heads, n // heads)
        Q, K, V = three[:, :, 0], three[:, :, 1], three[:, :, 2]
        s = jnp.einsum("mqhd,mkhd->mhqk", Q, K) / np.sqrt(n // heads)
        if causal:
            s = jnp.where(np.tri(T, dtype=bool), s, -1e9)
        a = jnp.einsum("mhqk,mkhd->mqhd", jax.nn.softmax(s), V)
        return a.reshape(m, T, n) @ self.values[f"{name}.W_O"]

    def layer_norm(self, name: str, x: Any) -> Any:
        mu = x.mean(-1, keepdims=True)
        s2 = ((x - mu) ** 2).mean(-1, keepdims=True)
        return (x - mu) * lax.rsqrt(s2 + 1e-5) * self.values[f"{name}.gamma"] + self.values[f"{name}.beta"]

    def words_before(self, name: str, words: Any, V: int, n: int) -> Any:
        looked_up = self.values[f"{name}.W"][words[:, :-1]]
        return jnp.pad(looked_up, ((0, 0), (1, 0), (0, 0))) + self.values[f"{name}.b"]

    def positions(self, x: Any) -> Any:
        return x + position_table(*x.shape[1:])
