"""torch as a rival: eager and compiled, with channels first or last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cases import BETA1, BETA2, EPSILON, MOMENTUM, Case
from networks import Tensor, position_table
from rivals import Rival
from torch.nn import functional as F

VERSION = f"torch {torch.__version__}"


def eager(case: Case, threads: int, channels_last: bool = False, own: bool = False) -> Rival:
    """A module, autograd and the fused optimizer, which on a CPU too makes Adam faster and SGD no slower. With `own` a
    GRU is torch's, which computes another function than the course's."""
    torch.set_num_threads(threads)
    net = Net(case, channels_last, own)
    batches = net.batches()
    if case.predicts:
        return predicting(net, batches, net)
    optimizer = optimizer_of(case, net)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        cost = net.loss(net(x), y)
        cost.backward()
        optimizer.step()
        return cost.detach()

    return Rival(step, batches, batches[0], VERSION)


def optimizer_of(case: Case, net: torch.nn.Module) -> torch.optim.Optimizer:
    if case.optimizer == "adam":
        return torch.optim.Adam(net.parameters(), case.learning_rate, (BETA1, BETA2), EPSILON, fused=True)
    momentum = MOMENTUM if case.optimizer == "momentum" else 0.0
    return torch.optim.SGD(net.parameters(), case.learning_rate, momentum, fused=True)


def predicting(net: Net, batches: list[tuple[Any, Any]], run: Callable[[Any], Any]) -> Rival:
    net.eval()

    def step(x: Any, y: Any) -> Any:
        with torch.inference_mode():
            return run(x)

    return Rival(step, batches, batches[0], VERSION, loss=lambda scores, y: float(F.cross_entropy(scores, y)))


def compiled(case: Case, threads: int, channels_last: bool = False) -> Rival:
    """The whole step, gradients and update included, as one graph without a break.

    A compiled step that calls `backward()` and `optimizer.step()` breaks into pieces; written with `torch.func` it is
    a single graph, which is as fast on a large network and four times as fast on a small one.  Nothing of an earlier
    configuration is left to reset, since each one has a process to itself. Weights that no longer change are frozen
    into the code of a prediction, so that batch normalization can go into the filters.
    """
    torch.set_num_threads(threads)
    net = Net(case, channels_last, loops=True)
    batches = net.batches()
    if case.predicts:
        torch._inductor.config.freezing = True
        return predicting(net, batches, torch.compile(net, fullgraph=True))
    weights = {name: w.detach() for name, w in net.named_parameters()}
    states = dict(net.named_buffers())
    v = {name: torch.zeros_like(w) for name, w in weights.items()}
    s = {name: torch.zeros_like(w) for name, w in weights.items() if case.optimizer == "adam"}
    # 1 / (1 - beta^t) for both betas; in the graph it would be computed anew for every element
    corrections = np.ones(2, np.float32)
    t = 0

    def cost(weights: dict[str, Any], states: dict[str, Any], x: Any, y: Any) -> Any:
        new = {name: state.clone() for name, state in states.items()}  # batch normalization writes into them
        return net.loss(torch.func.functional_call(net, (weights, new), (x,)), y), new

    def step(weights: Any, states: Any, v: Any, s: Any, corrections: Any, x: Any, y: Any) -> Any:
        gradients, (value, new) = torch.func.grad_and_value(cost, has_aux=True)(weights, states, x, y)
        for name, state in states.items():
            state.copy_(new[name])
        for name, w in weights.items():
            dw = gradients[name]
            if case.optimizer == "sgd":
                w.sub_(case.learning_rate * dw)
            elif case.optimizer == "momentum":
                v[name].mul_(MOMENTUM).add_(dw)
                w.sub_(case.learning_rate * v[name])
            else:
                v[name].mul_(BETA1).add_(dw, alpha=1 - BETA1)
                s[name].mul_(BETA2).add_(dw * dw, alpha=1 - BETA2)
                w.sub_(case.learning_rate * (v[name] * corrections[0]) / ((s[name] * corrections[1]).sqrt() + EPSILON))
        return value

    run = torch.compile(step, fullgraph=True)
    shared = torch.from_numpy(corrections)

    def call(x: Any, y: Any) -> Any:
        nonlocal t
        t += 1
        corrections[:] = 1 / (1 - BETA1**t), 1 / (1 - BETA2**t)
        return run(weights, states, v, s, shared, x, y)

    return Rival(call, batches, batches[0], VERSION)


class Net(torch.nn.Module):
    """A case with its initial numbers. It is `Layers` as well: `forward` calls the network on itself."""

    def __init__(self, case: Case, channels_last: bool, own_gru: bool = False, loops: bool = False) -> None:
        super().__init__()
        self.case, self.channels_last, self.own_gru, self.loops = case, channels_last, own_gru, loops
        tensors = case.outline.parameters | case.outline.states
        for name, value in (case.outline.merged(case.parameters()) | case.states()).items():
            laid_out = self.laid_out(torch.from_numpy(value), tensors.get(name))
            if name in case.outline.states:
                self.register_buffer(key(name), laid_out)
            else:
                self.register_parameter(key(name), torch.nn.Parameter(laid_out))
        if case.text:
            self.table = torch.from_numpy(position_table(case.steps, case.outline.width))

    def laid_out(self, value: torch.Tensor, tensor: Tensor | None) -> torch.Tensor:
        """As torch wants it: filters (n_C, n_C_prev, f, f), transposed ones (n_C_prev, n_C, f, f), matrices over a map
        in the order in which it is stored, and a row for each word."""
        if tensor is None:  # made of several
            return value.contiguous()
        if value.ndim == 4:
            value = value.permute(2, 3, 0, 1) if tensor.transposed else value.permute(3, 2, 0, 1)
            return self.stored(value)
        if tensor.flattened is not None and not self.channels_last:
            value = value.reshape(-1, *tensor.flattened).permute(0, 3, 1, 2).flatten(1)
        return (value.T if tensor.transposed else value).contiguous()

    def stored(self, map: torch.Tensor) -> torch.Tensor:
        return map.contiguous(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)

    def batches(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The examples, as views where they are rows; what recurrent layers read has its steps first."""
        x, y = (torch.from_numpy(array) for array in self.case.data())
        if self.case.outline.recurrent:
            batches = zip(x.split(self.case.batch), y.split(self.case.batch), strict=True)
            return [(x.transpose(0, 1).contiguous(), y.transpose(0, 1).contiguous()) for x, y in batches]
        if x.ndim == 4:
            x = x.permute(0, 3, 1, 2)
        if self.case.binary:
            y = y.to(torch.float32)[:, None]
        xs = [self.stored(part) if part.ndim == 4 else part for part in x.split(self.case.batch)]
        return list(zip(xs, [part.contiguous() for part in y.split(self.case.batch)], strict=True))

    def forward(self, x: torch.Tensor) -> Any:
        return self.case.network(self, x)

    def loss(self, scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.case.binary:
            return F.binary_cross_entropy_with_logits(scores, y)
        if not self.case.classes:
            return F.mse_loss(scores, y, reduction="sum") / (2 * self.case.batch)
        if self.case.steps > 1:
            return F.cross_entropy(scores.flatten(0, 1), y.flatten()) * self.case.steps
        return F.cross_entropy(scores, y)

    # --- layers ------------------------------------------------------------------------------------------------

    def own(self, name: str) -> Any:
        return getattr(self, key(name), None)

    def conv(
        self, name: str, x: Any, f: int, n: int, stride: int = 1, pad: int = 0, groups: int = 1, bias: bool = True
    ) -> Any:
        return F.conv2d(x, self.own(f"{name}.W"), self.own(f"{name}.b"), stride, pad, 1, groups)

    def grow(self, name: str, x: Any, f: int, n: int) -> Any:
        return F.conv_transpose2d(x, self.own(f"{name}.W"), self.own(f"{name}.b"), f)

    def norm(self, name: str, x: Any, gamma: float = 1.0) -> Any:
        mu, s2, scale, shift = (self.own(f"{name}.{part}") for part in ("mu", "s2", "gamma", "beta"))
        return F.batch_norm(x, mu, s2, scale, shift, self.training)

    def dense(self, name: str, x: Any, n: int) -> Any:
        if x.ndim == 4:
            x = (x.permute(0, 2, 3, 1) if self.channels_last else x).flatten(1)
        return F.linear(x, self.own(f"{name}.W"), self.own(f"{name}.b"))

    def relu(self, x: Any) -> Any:
        return F.relu(x)

    def relu6(self, x: Any) -> Any:
        return F.relu6(x)

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def concat(self, x: Any, y: Any) -> Any:
        return torch.cat((x, y), 1)

    def max_pool(self, x: Any, f: int, stride: int, pad: int = 0) -> Any:
        return F.max_pool2d(x, f, stride, pad)

    def average(self, x: Any) -> Any:
        return x.mean((2, 3))

    # --- sequences: (T, m, n) in networks with recurrent layers, (m, T, n) in others ---------------------------

    def gates(self, name: str) -> list[Any]:
        """Weights and bias of a recurrent layer, and zeros for torch's second bias, which is not trained."""
        bias = self.own(f"{name}.b")
        return [self.own(f"{name}.W_x"), self.own(f"{name}.W_h"), bias, torch.zeros_like(bias)]

    def lstm(self, name: str, x: Any, n: int) -> Any:
        """`nn.LSTM`, as a function. It cannot be traced with its gradient, so a compiled step has the loop that torch's
        compiler would make of it."""
        if self.loops:
            return self.lstm_steps(name, x, n)
        start = x.new_zeros(1, x.shape[1], n)
        return torch.lstm(x, (start, start), self.gates(name), True, 1, 0.0, self.training, False, False)[0]

    def both_ways(self, name: str, x: Any, n: int) -> Any:
        if self.loops:
            ahead, back = self.lstm_steps(f"{name}.forward", x, n), self.lstm_steps(f"{name}.backward", x.flip(0), n)
            return torch.cat((ahead, back.flip(0)), -1)
        start = x.new_zeros(2, x.shape[1], n)
        weights = self.gates(f"{name}.forward") + self.gates(f"{name}.backward")
        return torch.lstm(x, (start, start), weights, True, 1, 0.0, self.training, True, False)[0]

    def lstm_steps(self, name: str, x: Any, n: int) -> Any:
        W_x, W_h, b, _ = self.gates(name)
        a = c = x.new_zeros(x.shape[1], n)
        states = []
        for z in F.linear(x, W_x, b).unbind():
            u, f, tilde, o = torch.addmm(z, a, W_h.T).chunk(4, 1)
            c = u.sigmoid() * tilde.tanh() + f.sigmoid() * c
            a = o.sigmoid() * c.tanh()
            states.append(a)
        return torch.stack(states)

    def gru(self, name: str, x: Any, n: int) -> Any:
        """The course's applies its reset gate before the product, torch's behind it: so a loop, with the products of x
        outside of it."""
        if self.own_gru:
            start = x.new_zeros(1, x.shape[1], n)
            return torch.gru(x, start, self.gates(name), True, 1, 0.0, self.training, False, False)[0]
        W_x, W_h, b, _ = self.gates(name)
        W_ru, W_c = W_h[: 2 * n].T, W_h[2 * n :].T
        z_ru, z_c = F.linear(x, W_x, b).split((2 * n, n), -1)
        c, states = x.new_zeros(x.shape[1], n), []
        for ru, tilde in zip(z_ru.unbind(), z_c.unbind(), strict=True):
            r, u = torch.addmm(ru, c, W_ru).sigmoid().chunk(2, 1)
            c = c.lerp(torch.addmm(tilde, r * c, W_c).tanh(), u)
            states.append(c)
        return torch.stack(states)

    def attend(self, name: str, x: Any, heads: int, causal: bool) -> Any:
        m, T, n = x.shape
        three = F.linear(x, self.own(f"{name}.W")).view(m, T, 3, heads, n // heads)
        Q, K, V = three.permute(2, 0, 3, 1, 4).unbind()
        a = F.scaled_dot_product_attention(Q, K, V, is_causal=causal)
        return F.linear(a.transpose(1, 2).reshape(m, T, n), self.own(f"{name}.W_O"))

    def layer_norm(self, name: str, x: Any) -> Any:
        return F.layer_norm(x, x.shape[-1:], self.own(f"{name}.gamma"), self.own(f"{name}.beta"), 1e-5)

    def words_before(self, name: str, words: Any, V: int, n: int) -> Any:
        return F.pad(F.embedding(words[:, :-1], self.own(f"{name}.W")), (0, 0, 1, 0)) + self.own(f"{name}.b")

    def positions(self, x: Any) -> Any:
        return x + self.table


def key(name: str) -> str:
    """A parameter's name as an attribute."""
    return name.replace(".", "_")
