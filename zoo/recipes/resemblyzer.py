"""Resemblyzer: an embedding of the speaker."""

from __future__ import annotations

import sys
import types

from zoo.recipe import Network, Package

package = Package("Resemblyzer")


@package.network(
    "speaker",
    "VoiceEncoder: three LSTMs, the state after the last frame",
    {"mel": 1},
    instead="export the states of all frames, each of which gives the embedding so far",
)
def voice_encoder() -> Network:
    import torch

    sys.modules["webrtcvad"] = types.ModuleType("webrtcvad")
    from resemblyzer.voice_encoder import VoiceEncoder

    net = VoiceEncoder.__new__(VoiceEncoder)
    torch.nn.Module.__init__(net)
    net.lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
    net.linear, net.relu = torch.nn.Linear(256, 256), torch.nn.ReLU()
    return Network(net, {"mel": torch.randn(1, 160, 40)})
