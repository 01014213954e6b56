"""LSTM, GRU and RNN frame by frame: a call has few frames, and LiteRT's own ops keep their states inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.emit.onnx_node import check_recurrence
from graphc.emit.tflite.emitter import Emitter
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.rules.elementwise import unary
from graphc.emit.tflite.rules.matrix import connected
from graphc.emit.tflite.rules.shape import joined, piece
from graphc.emit.tflite.value import Array, Value, known


@dataclass(frozen=True)
class Weights:
    """One direction: ``w`` (inputs, gates), ``r`` (hidden, gates), and their biases (gates,)."""

    w: Array
    r: Array
    wb: Array
    rb: Array

    @property
    def hidden(self) -> int:
        return int(self.r.shape[0])


Step = Callable[[Emitter, Value, list[Value], Weights], list[Value]]


@rule("LSTM", "GRU", "RNN")
def recurrence(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    frames, batch, _ = x.shape
    check_recurrence(node, frames)
    directions = weights_of(node)
    firsts = [node.present(5), *([node.present(6)] if node.op == "LSTM" else [])]
    ways = {"forward": [False], "reverse": [True]}.get(direction_of(node), [False, True])
    heard, ends = [], []
    for index, (weights, backwards) in enumerate(zip(directions, ways, strict=True)):
        zeros = known(np.zeros((batch, weights.hidden), np.float32))
        states = [zeros if f is None else e.given(piece(e, f, 0, index, index + 1), zeros.shape) for f in firsts]
        reset_late = bool(node.attributes.get("linear_before_reset", 0))
        step: Step = {"LSTM": lstm_step, "RNN": rnn_step}.get(node.op, gru_late if reset_late else gru_early)
        offset = weights.wb if node.op == "GRU" else weights.wb + weights.rb
        parts = connected(e, x, weights.w, offset)
        given: dict[int, Value] = {}
        for t in reversed(range(frames)) if backwards else range(frames):
            part = e.given(piece(e, parts, 0, t, t + 1), (batch, parts.shape[2]))
            states = step(e, part, states, weights)
            given[t] = e.given(states[0], (1, 1, batch, weights.hidden))
        heard.append(joined(e, [given[t] for t in range(frames)], 0))
        ends.append([e.given(s, (1, batch, weights.hidden)) for s in states])
    return [joined(e, heard, 1), *(joined(e, list(parts), 0) for parts in zip(*ends, strict=True))]


def direction_of(node: Node) -> str:
    return str(node.attributes.get("direction", b"forward").decode())


def weights_of(node: Node) -> list[Weights]:
    w, r, b = node.array(1, "weights"), node.array(2, "weights"), node.array(3, "bias")
    assert w is not None and r is not None
    size = w.shape[1]
    both = np.zeros((w.shape[0], 2 * size), np.float32) if b is None else b
    return [Weights(w[i].T, r[i].T, both[i, :size], both[i, size:]) for i in range(w.shape[0])]


def gate(e: Emitter, x: Value, index: int, hidden: int) -> Value:
    return piece(e, x, 1, index * hidden, (index + 1) * hidden)


def lstm_step(e: Emitter, part: Value, states: list[Value], weights: Weights) -> list[Value]:
    """One frame of an LSTM. ONNX's order of gates is input, output, forget, cell."""
    hidden, cell = states
    total = e.elementwise("ADD", [part, connected(e, hidden, weights.r, None)])
    open_, out, keep = (unary(e, "LOGISTIC", gate(e, total, i, weights.hidden)) for i in range(3))
    new = unary(e, "TANH", gate(e, total, 3, weights.hidden))
    cell = e.elementwise("ADD", [e.elementwise("MUL", [keep, cell]), e.elementwise("MUL", [open_, new])])
    return [e.elementwise("MUL", [out, unary(e, "TANH", cell)]), cell]


def gru_late(e: Emitter, part: Value, states: list[Value], weights: Weights) -> list[Value]:
    """One frame of a GRU whose reset gate acts on the product (linear_before_reset). Gates: update, reset, hidden."""
    (hidden,) = states
    own = connected(e, hidden, weights.r, weights.rb)
    update, reset = (
        unary(e, "LOGISTIC", e.elementwise("ADD", [gate(e, part, i, weights.hidden), gate(e, own, i, weights.hidden)]))
        for i in range(2)
    )
    kept = e.elementwise("MUL", [reset, gate(e, own, 2, weights.hidden)])
    return [mixed(e, update, hidden, e.elementwise("ADD", [gate(e, part, 2, weights.hidden), kept]))]


def gru_early(e: Emitter, part: Value, states: list[Value], weights: Weights) -> list[Value]:
    """One frame of a GRU whose reset gate acts on the hidden state, before the product."""
    (hidden,), size = states, weights.hidden
    own = connected(e, hidden, weights.r[:, : 2 * size], weights.rb[: 2 * size])
    update, reset = (
        unary(e, "LOGISTIC", e.elementwise("ADD", [gate(e, part, i, size), gate(e, own, i, size)])) for i in range(2)
    )
    kept = e.elementwise("MUL", [reset, hidden])
    product = connected(e, kept, weights.r[:, 2 * size :], weights.rb[2 * size :])
    return [mixed(e, update, hidden, e.elementwise("ADD", [gate(e, part, 2, size), product]))]


def mixed(e: Emitter, update: Value, hidden: Value, inside: Value) -> Value:
    """(1 − z)·new + z·old, as new + z·(old − new)."""
    new = unary(e, "TANH", inside)
    return e.elementwise("ADD", [new, e.elementwise("MUL", [update, e.elementwise("SUB", [hidden, new])])])


def rnn_step(e: Emitter, part: Value, states: list[Value], weights: Weights) -> list[Value]:
    total = e.elementwise("ADD", [part, connected(e, states[0], weights.r, None)])
    return [unary(e, "TANH", total)]
