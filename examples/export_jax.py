"""Exports JAX functions and a Flax network with jax2onnx: ``python examples/export_jax.py FOLDER``.

Needs ``pip install jax2onnx flax`` and no graphc. The weights are random but fixed by a
seed. The smallest models are kept in examples/exporters; ``make exporters`` makes and tries all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import onnx
from flax import nnx
from jax import Array, lax
from jax2onnx import to_onnx

FEATURES, WIDTH = 8, 16
KEYS = iter(jax.random.split(jax.random.key(0), 16))


def weight(*shape: int) -> Array:
    return 0.3 * jax.random.normal(next(KEYS), shape)


FROM_FRAME, FROM_STATE, BIAS = weight(FEATURES, 3 * WIDTH), weight(WIDTH, 3 * WIDTH), weight(3 * WIDTH)
MIXING = weight(FEATURES, FEATURES)
KERNELS = weight(3, FEATURES, WIDTH), weight(5, WIDTH, WIDTH), weight(7, 1, WIDTH), weight(3, WIDTH, WIDTH)


def gru(x: Array) -> Array:
    def step(state: Array, frame: Array) -> tuple[Array, Array]:
        new, old = frame @ FROM_FRAME + BIAS, state @ FROM_STATE
        update = jax.nn.sigmoid(new[:, :WIDTH] + old[:, :WIDTH])
        reset = jax.nn.sigmoid(new[:, WIDTH : 2 * WIDTH] + old[:, WIDTH : 2 * WIDTH])
        state = (1 - update) * jnp.tanh(new[:, 2 * WIDTH :] + reset * old[:, 2 * WIDTH :]) + update * state
        return state, state

    return over_time(step, jnp.zeros((x.shape[0], WIDTH)), x)


def two_states(x: Array) -> Array:
    def step(states: tuple[Array, Array], frame: Array) -> tuple[tuple[Array, Array], Array]:
        slow, quick = states
        slow = 0.9 * slow + frame @ MIXING
        quick = jnp.tanh(quick + slow)
        return (slow, quick), slow + quick

    start = jnp.zeros((x.shape[0], FEATURES))
    return over_time(step, (start, start), x)


def over_time(step: Callable, start: object, x: Array) -> Array:
    _, frames = lax.scan(step, start, jnp.swapaxes(x, 0, 1))
    return jnp.swapaxes(frames, 0, 1)


def tcn(x: Array) -> Array:
    first, dilated, depthwise, strided = KERNELS
    y = jax.nn.relu(conv(x, first, (2, 0)))
    y = y + jax.nn.gelu(conv(y, dilated, (8, 0), dilation=2))
    y = y + jax.nn.silu(conv(y, depthwise, (3, 3), groups=WIDTH))
    y = conv(y, strided, (2, 0), stride=2)
    return jnp.repeat(y, 2, axis=1)


def conv(x: Array, kernel: Array, pads: tuple[int, int], stride: int = 1, dilation: int = 1, groups: int = 1) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride,),
        [pads],
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=groups,
    )


class Convolutions(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Conv(FEATURES, WIDTH, kernel_size=(3,), padding=[(2, 0)], rngs=rngs)
        self.deep = nnx.Conv(WIDTH, WIDTH, (5,), padding=[(4, 0)], feature_group_count=WIDTH, rngs=rngs)
        self.batch_norm = nnx.BatchNorm(WIDTH, use_running_average=True, rngs=rngs)
        self.layer_norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.last = nnx.Linear(WIDTH, 4, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        y = self.batch_norm(self.deep(jax.nn.silu(self.first(x))))
        return self.last(self.layer_norm(jax.nn.gelu(y)))


def main(folder: Path) -> None:
    networks = {"gru": gru, "two_states": two_states, "tcn": tcn, "flax": Convolutions(nnx.Rngs(0))}
    for name, network in networks.items():
        onnx.save(to_onnx(network, inputs=[(1, "T", FEATURES)]), folder / f"jax_{name}.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
