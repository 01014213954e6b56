"""LSTM, GRU and RNN frame by frame: a call has few frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as nn

from graphc.emit.onnx_node import check_recurrence
from graphc.emit.torch_program.rule import Node, Tensor, rule

Step = Callable[[Tensor, list[Tensor], Tensor, Tensor], list[Tensor]]


@rule("LSTM", "GRU", "RNN")
def recurrence(node: Node, x: Sequence[Tensor]) -> Sequence[Tensor]:
    check_recurrence(node, x[0].shape[0])
    heard, ends = [], []
    way = node.attributes.get("direction", b"forward").decode()
    late = bool(node.attributes.get("linear_before_reset", 0))
    step: Step = {"LSTM": lstm_step, "RNN": rnn_step}.get(node.op, gru_late if late else gru_early)
    for index in range(x[1].shape[0]):
        backwards = way == "reverse" or index == 1
        states = [state_of(node, x, place, index) for place in ((5, 6) if node.op == "LSTM" else (5,))]
        size = x[1].shape[1]
        both = x[3][index] if node.has(3) else x[1].new_zeros(2 * size)
        wb, rb = both[:size], both[size:]
        parts = nn.linear(x[0], x[1][index], wb if node.op == "GRU" else wb + rb)
        given = [x[0]] * x[0].shape[0]
        for t in reversed(range(x[0].shape[0])) if backwards else range(x[0].shape[0]):
            states = step(parts[t], states, x[2][index], rb)
            given[t] = states[0]
        heard.append(torch.stack(given))
        ends.append(states)
    return [torch.stack(heard, 1), *(torch.stack(list(parts)) for parts in zip(*ends, strict=True))]


def state_of(node: Node, x: Sequence[Tensor], place: int, index: int) -> Tensor:
    """The first value of a state of one direction, (batch, hidden)."""
    return x[place][index] if node.has(place) else x[0].new_zeros(x[0].shape[1], x[2].shape[2])


def lstm_step(part: Tensor, states: list[Tensor], r: Tensor, rb: Tensor) -> list[Tensor]:
    """One frame of an LSTM. ONNX's order of gates is input, output, forget, cell."""
    hidden, cell = states
    opened, out, keep, new = torch.split(part + nn.linear(hidden, r), r.shape[1], 1)
    cell = torch.sigmoid(keep) * cell + torch.sigmoid(opened) * torch.tanh(new)
    return [torch.sigmoid(out) * torch.tanh(cell), cell]


def gru_late(part: Tensor, states: list[Tensor], r: Tensor, rb: Tensor) -> list[Tensor]:
    """One frame of a GRU whose reset gate acts on the product (linear_before_reset). Gates: update, reset, hidden."""
    size = r.shape[1]
    own = torch.split(nn.linear(states[0], r, rb), size, 1)
    heard = torch.split(part, size, 1)
    update, reset = torch.sigmoid(heard[0] + own[0]), torch.sigmoid(heard[1] + own[1])
    new = torch.tanh(heard[2] + reset * own[2])
    return [new + update * (states[0] - new)]


def gru_early(part: Tensor, states: list[Tensor], r: Tensor, rb: Tensor) -> list[Tensor]:
    """One frame of a GRU whose reset gate acts on the hidden state, before the product."""
    size = r.shape[1]
    own = torch.split(nn.linear(states[0], r[: 2 * size], rb[: 2 * size]), size, 1)
    heard = torch.split(part, size, 1)
    update, reset = torch.sigmoid(heard[0] + own[0]), torch.sigmoid(heard[1] + own[1])
    new = torch.tanh(heard[2] + nn.linear(reset * states[0], r[2 * size :], rb[2 * size :]))
    return [new + update * (states[0] - new)]


def rnn_step(part: Tensor, states: list[Tensor], r: Tensor, rb: Tensor) -> list[Tensor]:
    return [torch.tanh(part + nn.linear(states[0], r))]
