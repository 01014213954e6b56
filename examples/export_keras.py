"""Exports Keras networks and TensorFlow loops with tf2onnx: ``python examples/export_keras.py FOLDER``.

Needs ``pip install tensorflow-cpu tf2onnx`` and no graphc. The weights are random but fixed by a
seed. The smallest models are kept in examples/exporters; ``make exporters`` makes and tries all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers

FEATURES = 8
WEIGHT = 0.3 * tf.random.stateless_normal([FEATURES, FEATURES], seed=[0, 1])


class BandAttention(layers.Layer):
    """Self-attention that sees ``left`` frames back."""

    def __init__(self, width: int, heads: int, left: int):
        super().__init__()
        self.width, self.heads, self.left = width, heads, left
        self.query, self.key, self.value, self.joined = (layers.Dense(width) for _ in range(4))

    def call(self, x: Any) -> Any:
        def by_head(y: Any) -> Any:
            return tf.transpose(tf.reshape(y, [1, -1, self.heads, self.width // self.heads]), [0, 2, 1, 3])

        frames = tf.shape(x)[1]
        band = tf.linalg.band_part(tf.ones([frames, frames]), self.left, 0)
        scores = tf.matmul(by_head(self.query(x)), by_head(self.key(x)), transpose_b=True)
        scores = scores / (self.width // self.heads) ** 0.5 + (1 - band) * -1e9
        seen = tf.matmul(tf.nn.softmax(scores), by_head(self.value(x)))
        return self.joined(tf.reshape(tf.transpose(seen, [0, 2, 1, 3]), [1, -1, self.width]))


def lstm(x: Any) -> Any:
    y = layers.LSTM(16, return_sequences=True)(layers.LSTM(16, return_sequences=True)(x))
    return layers.Dense(5, activation="softmax")(y)


def gru(x: Any) -> Any:
    y = layers.Conv1D(16, 3, padding="causal", activation="relu")(x)
    return layers.LayerNormalization()(layers.GRU(16, return_sequences=True)(y))


def stacked_cells(x: Any) -> Any:
    return layers.RNN([layers.LSTMCell(8), layers.GRUCell(8)], return_sequences=True)(x)


def conv_lstm(x: Any) -> Any:
    y = layers.Reshape((-1, FEATURES, 1))(x)
    return layers.ConvLSTM1D(4, 3, padding="same", return_sequences=True)(y)


def tcn(x: Any) -> Any:
    y = layers.Conv1D(16, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    deeper = layers.BatchNormalization()(layers.SeparableConv1D(16, 5, padding="same")(y))
    y = layers.AveragePooling1D(2)(layers.Add()([y, layers.Activation("swish")(deeper)]))
    return layers.Conv1DTranspose(4, 4, strides=2, padding="same")(y)


def conformer(x: Any) -> Any:
    y = layers.Dense(16)(x)
    for padding in ("same", "valid"):
        inner = layers.Dense(32, activation="swish")(layers.LayerNormalization()(y))
        y = y + 0.5 * layers.Dense(16)(inner)
        y = y + BandAttention(16, 2, 7)(layers.LayerNormalization()(y))
        gates = layers.Conv1D(32, 1)(layers.LayerNormalization()(y))
        inner = gates[..., :16] * layers.Activation("sigmoid")(gates[..., 16:])
        if padding == "valid":
            inner = layers.ZeroPadding1D((6, 0))(inner)
        inner = layers.BatchNormalization()(layers.DepthwiseConv1D(7, padding=padding)(inner))
        y = layers.LayerNormalization()(y + layers.Conv1D(16, 1)(layers.Activation("swish")(inner)))
    return layers.Dense(5)(y)


def scanned(x: Any) -> Any:
    """tf.scan: a Loop over frames with a limit on its iterations."""
    carried = tf.scan(
        lambda state, frame: 0.9 * state + tf.tanh(frame @ WEIGHT),
        tf.transpose(x, [1, 0, 2]),
        initializer=tf.zeros([1, FEATURES]),
    )
    return tf.transpose(carried, [1, 0, 2])


def written_out(x: Any) -> Any:
    """A while loop that only its condition ends. Each iteration takes a frame and writes to a TensorArray."""
    frames = tf.shape(x)[1]

    def turn(index: Any, state: Any, written: Any) -> tuple[Any, Any, Any]:
        state = 0.9 * state + x[:, index] @ WEIGHT
        return index + 1, state, written.write(index, state)

    empty = tf.TensorArray(tf.float32, size=frames)
    _, _, written = tf.while_loop(lambda index, *_: index < frames, turn, (0, tf.zeros([1, FEATURES]), empty))
    return tf.transpose(written.stack(), [1, 0, 2])


NETWORKS = (lstm, gru, stacked_cells, conv_lstm, tcn, conformer)
LOOPS = (scanned, written_out)


def export(path: Path, call: Callable[[Any], Any]) -> None:
    signature = [tf.TensorSpec([1, None, FEATURES], tf.float32, name="features")]
    model, _ = tf2onnx.convert.from_function(tf.function(call, input_signature=signature), signature, opset=17)
    onnx.save(model, path)


def main(folder: Path) -> None:
    keras.utils.set_random_seed(0)
    for make in NETWORKS:
        features = layers.Input((None, FEATURES))
        network = keras.Model(features, make(features))
        export(folder / f"keras_{make.__name__}.onnx", lambda x, network=network: network(x, training=False))
    for loop in LOOPS:
        export(folder / f"keras_{loop.__name__}.onnx", loop)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
