"""When scores mean that something was heard: in Python, C++ and JavaScript the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from graphc_runtime.pipeline.manifest import TriggerEntry
from graphc_runtime.pipeline.trigger import Trigger

CALL_S = 0.5
PLAIN = TriggerEntry("score", 0, 0.5, 1, 1, 0, 0)
ENTRIES = {
    "plain": PLAIN,
    "smoothed": TriggerEntry("score", 0, 0.5, 3, 1, 0, 0),
    "patient": TriggerEntry("score", 0, 0.5, 1, 2, 0, 0),
    "refractory": TriggerEntry("score", 0, 0.5, 1, 1, 2.0, 0),
    "all": TriggerEntry("score", 0, 0.45, 4, 2, 1.5, 6),
}


def heard(entry: TriggerEntry, scores: list[float]) -> list[int]:
    trigger = Trigger(entry, CALL_S)
    return [call for call, score in enumerate(scores) if trigger.heard(score)]


@pytest.mark.parametrize(
    ("name", "scores", "calls"),
    [
        ("plain", [0, 1, 0.4, 0.5, 0.6], [1, 3, 4]),
        ("smoothed", [1, 0.4, 0.2, 1, 0, 0.5, 1], [2, 3, 5, 6]),
        ("patient", [1, 0, 1, 1, 1, 0, 1], [3, 4]),
        ("refractory", [1, 1, 1, 1, 1, 1, 0, 0, 1], [0, 4, 8]),
    ],
)
def test_an_event_is_what_the_decoder_says(name: str, scores: list[float], calls: list[int]) -> None:
    assert heard(ENTRIES[name], scores) == calls


def test_scores_of_the_warm_up_count_as_nothing() -> None:
    assert heard(TriggerEntry("score", 0, 0.5, 1, 1, 0, 3), [1, 1, 1, 1]) == [3]


def table() -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    return [
        {"entry": asdict(entry), "scores": (scores := rng.random(200).round(3).tolist()), "calls": heard(entry, scores)}
        for entry in ENTRIES.values()
    ]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_decides_alike(tmp_path: Path) -> None:
    script = f"""
        import {{Trigger}} from {json.dumps(str(ROOT / "clients" / "web" / "src" / "pipelines" / "trigger.js"))};
        for (const {{entry, scores, calls}} of {json.dumps(table())}) {{
          const trigger = new Trigger(entry, {CALL_S});
          const found = scores.flatMap((score, call) => trigger.heard(score) ? [call] : []);
          if (JSON.stringify(found) !== JSON.stringify(calls)) throw new Error(`${{found}} not ${{calls}}`);
        }}
    """
    (tmp_path / "check.mjs").write_text(script)
    subprocess.run(["node", tmp_path / "check.mjs"], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_cpp_decides_alike(tmp_path: Path) -> None:
    source = """
        #include <cstdio>
        #include <string>
        #include "graphc_trigger.hpp"
        int main(int, char** words) {
          std::vector<char> text;
          graphc::json::Value rows;
          std::string error;
          if (!graphc::read_file(words[1], text) || !graphc::json::Reader(text.data(), text.data() + text.size()).read(rows)) return 2;
          for (const auto& row : rows.items) {
            graphc::Trigger trigger;
            if (!trigger.parse(row["entry"], %g, error)) return 3;
            size_t next = 0;
            for (size_t call = 0; call < row["scores"].items.size(); ++call)
              if (trigger.heard(row["scores"].items[call].number) &&
                  (next >= row["calls"].items.size() || row["calls"].items[next++].integer() != static_cast<int64_t>(call)))
                return 1;
            if (next != row["calls"].items.size()) return 1;
          }
          return 0;
        }
    """
    (tmp_path / "check.cpp").write_text(source % CALL_S)
    (tmp_path / "table.json").write_text(json.dumps(table()))
    compile_it = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{ROOT / 'clients' / 'cpp'}"]
    subprocess.run([*compile_it, "check.cpp", "-o", "check", "-ldl", "-pthread"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "check", tmp_path / "table.json"], check=True)
