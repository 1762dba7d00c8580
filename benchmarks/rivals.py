"""The rivals: torch eager, torch.compile, jax.jit a step at a time, and jax.jit with a whole epoch in one `lax.scan`.

Each function takes a case and the number of threads, and gives a `Rival`: the step as an experienced user of that
library would write it for speed.  The libraries are imported where they are used, so that one may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cases import BETA1, BETA2, CHECK_STEPS, EPSILON, Case


@dataclass(frozen=True)
class Rival:
    """One training program, and the batches to feed it, laid out beforehand in the form it likes best.

    `step(x, y)` trains on one batch and returns its loss from before the update; `wait` returns when all is computed.
    A rival that trains a whole epoch in one call has one "batch", the epoch, and says so in `steps_per_call`.
    """

    step: Callable[[Any, Any], Any]
    batches: list[tuple[Any, Any]]
    first: tuple[Any, Any]  # the first batch, in the form `step` takes
    version: str
    wait: Callable[[], object] = lambda: None
    steps_per_call: int = 1

    def first_step(self) -> None:
        self.step(*self.first)
        self.wait()

    def check(self) -> tuple[float, float]:
        """The loss on the first batch, and the loss after `CHECK_STEPS` steps on nothing but that batch."""
        losses = [float(self.step(*self.first).mean()) for _ in range(CHECK_STEPS + 1)]
        return losses[0], losses[-1]

    def train(self, steps: int) -> int:
        """Trains for about so many steps, batch after batch in order; returns how many they were."""
        calls = max(1, steps // self.steps_per_call)
        for call in range(calls):
            self.step(*self.batches[call % len(self.batches)])
        self.wait()
        return calls * self.steps_per_call


def torch_eager(case: Case, threads: int) -> Rival:
    """Modules, autograd and the fused optimizer, which on a CPU too makes Adam faster and SGD no slower."""
    import torch

    net, loss, batches = _torch_parts(case, threads)
    if case.optimizer == "adam":
        optimizer: Any = torch.optim.Adam(net.parameters(), case.learning_rate, (BETA1, BETA2), EPSILON, fused=True)
    else:
        optimizer = torch.optim.SGD(net.parameters(), case.learning_rate, fused=True)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        cost = loss(net(x), y)
        cost.backward()
        optimizer.step()
        return cost.detach()

    return Rival(step, batches, batches[0], f"torch {torch.__version__}")


def torch_compile(case: Case, threads: int) -> Rival:
    """The whole step, gradients and update included, as one graph without a break.

    A compiled step that calls `backward()` and `optimizer.step()` breaks into pieces; written with `torch.func` it is
    a single graph, which is as fast on a large network and four times as fast on a small one.  Nothing of an earlier
    configuration is left to reset, since each one has a process to itself.
    """
    import torch

    net, loss, batches = _torch_parts(case, threads)
    weights = {name: w.detach() for name, w in net.named_parameters()}
    v = {name: torch.zeros_like(w) for name, w in weights.items()}
    s = {name: torch.zeros_like(w) for name, w in weights.items()}
    # 1 / (1 - beta^t) for both betas; in the graph it would be computed anew for every element
    corrections = np.ones(2, np.float32)
    t = 0

    def cost(weights: dict[str, Any], x: Any, y: Any) -> Any:
        return loss(torch.func.functional_call(net, weights, (x,)), y)

    def step(weights: Any, v: Any, s: Any, corrections: Any, x: Any, y: Any) -> Any:
        gradients, value = torch.func.grad_and_value(cost)(weights, x, y)
        for name, w in weights.items():
            dw = gradients[name]
            if case.optimizer == "sgd":
                w.sub_(case.learning_rate * dw)
                continue
            v[name].mul_(BETA1).add_(dw, alpha=1 - BETA1)
            s[name].mul_(BETA2).add_(dw * dw, alpha=1 - BETA2)
            w.sub_(case.learning_rate * (v[name] * corrections[0]) / ((s[name] * corrections[1]).sqrt() + EPSILON))
        return value

    compiled = torch.compile(step, fullgraph=True)
    shared = torch.from_numpy(corrections)

    def call(x: Any, y: Any) -> Any:
        nonlocal t
        t += 1
        corrections[:] = 1 / (1 - BETA1**t), 1 / (1 - BETA2**t)
        return compiled(weights, v, s, shared, x, y)

    return Rival(call, batches, batches[0], f"torch {torch.__version__}")


def _torch_parts(case: Case, threads: int) -> tuple[Any, Any, list[tuple[Any, Any]]]:
    """The network with the case's initial parameters, its loss on logits, and the batches as views of the data."""
    import torch

    torch.set_num_threads(threads)
    layers: list[Any] = []
    for weight, bias in case.parameters():
        layer = torch.nn.Linear(*weight.T.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
        layers += [layer, torch.nn.ReLU()]
    x, y = (torch.from_numpy(array) for array in case.data())
    loss: Any = torch.nn.functional.cross_entropy
    if case.binary:
        y = y.to(torch.float32)[:, None]
        loss = torch.nn.functional.binary_cross_entropy_with_logits
    batches = list(zip(x.split(case.batch), y.split(case.batch), strict=True))
    return torch.nn.Sequential(*layers[:-1]), loss, batches


def jax_jit(case: Case, threads: int) -> Rival:
    """The whole step jitted, parameters and optimizer state donated; Python runs ahead and waits once at the end."""
    import jax

    state, step = _jax_parts(case)
    compiled = jax.jit(step, donate_argnums=0)

    def call(x: Any, y: Any) -> Any:
        nonlocal state
        state, loss = compiled(state, x, y)
        return loss

    x, y = _jax_data(case)
    batches = list(zip(x, y, strict=True))
    return Rival(call, batches, batches[0], f"jax {jax.__version__}", lambda: jax.block_until_ready(state))


def jax_scan(case: Case, threads: int) -> Rival:
    """An epoch in one jitted call, the batches stacked: no Python between two steps, as in dlc."""
    import jax

    state, step = _jax_parts(case)
    compiled = jax.jit(
        lambda state, x, y: jax.lax.scan(lambda state, batch: step(state, *batch), state, (x, y)), donate_argnums=0
    )

    def call(x: Any, y: Any) -> Any:
        nonlocal state
        state, losses = compiled(state, x, y)
        return losses

    x, y = _jax_data(case)
    version, wait = f"jax {jax.__version__}", lambda: jax.block_until_ready(state)
    return Rival(call, [(x, y)], (x[:1], y[:1]), version, wait, steps_per_call=len(x))


def _jax_data(case: Case) -> tuple[Any, Any]:
    """X (batches, batch, n[0]) and Y (batches, batch), on jax's device."""
    import jax.numpy as jnp

    x, y = case.data()
    x_batches, y_batches = x.reshape(-1, case.batch, case.widths[0]), y.astype(np.int32).reshape(-1, case.batch)
    return jnp.asarray(x_batches), jnp.asarray(y_batches)


def _jax_parts(case: Case) -> tuple[Any, Any]:
    """The initial state (parameters, Adam's two averages, t), and `step(state, x, y) -> (state, loss)`."""
    import jax
    import jax.numpy as jnp

    # (n_in, n_out), so that no product needs a transpose of the weights on its way forward
    parameters = [(jnp.asarray(weight.T), jnp.asarray(bias)) for weight, bias in case.parameters()]

    def cost(parameters: Any, a: Any, y: Any) -> Any:
        for w, b in parameters[:-1]:
            a = jax.nn.relu(a @ w + b)
        z = a @ parameters[-1][0] + parameters[-1][1]
        if case.binary:
            return jnp.mean(jax.nn.softplus(z[:, 0]) - y * z[:, 0])
        return jnp.mean(jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0])

    def step(state: Any, x: Any, y: Any) -> Any:
        parameters, v, s, t = state
        loss, gradients = jax.value_and_grad(cost)(parameters, x, y)
        t = t + 1
        if case.optimizer == "sgd":
            parameters = jax.tree.map(lambda w, dw: w - case.learning_rate * dw, parameters, gradients)
            return (parameters, v, s, t), loss
        v = jax.tree.map(lambda v, dw: BETA1 * v + (1 - BETA1) * dw, v, gradients)
        s = jax.tree.map(lambda s, dw: BETA2 * s + (1 - BETA2) * dw * dw, s, gradients)
        # the two corrections as factors: one multiplication an element in place of a division
        k_v, k_s = 1 / (1 - BETA1**t), 1 / (1 - BETA2**t)
        parameters = jax.tree.map(
            lambda w, v, s: w - case.learning_rate * (v * k_v) / (jnp.sqrt(s * k_s) + EPSILON), parameters, v, s
        )
        return (parameters, v, s, t), loss

    averages = [jax.tree.map(jnp.zeros_like, parameters) if case.optimizer == "adam" else None for _ in range(2)]
    return (parameters, *averages, jnp.zeros(())), step


RIVALS: dict[str, Callable[[Case, int], Rival]] = {
    "torch": torch_eager,
    "compile": torch_compile,
    "jax": jax_jit,
    "jax_scan": jax_scan,
}
