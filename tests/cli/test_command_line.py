"""The command line as a build script meets it: statuses, one clear line, nothing half-written."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from commands import graphc
from conftest import SPEC, small_model
from one_error import one_line
from onnx import TensorProto, helper

from graphc.cli.command import Failures
from graphc.cli.main import SUMMARIES, cli
from graphc_runtime.session import StreamSession

Project = Callable[..., Path]
OUTPUTS = {"model.stream.onnx", "model.stream.manifest.json", "model.stream.report.json", "model.stream.report.html"}


def test_compile_is_quiet_in_a_script_and_writes_the_outputs(project: Project) -> None:
    """In a process of its own, as all other tests run commands in forks of one."""
    spec = project()
    done = subprocess.run(
        [sys.executable, "-m", "graphc", "compile", str(spec)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {p.name for p in (spec.parent / "out").iterdir()} == OUTPUTS


def test_second_compile_rewrites_nothing_until_something_changes(project: Project) -> None:
    spec = project()
    assert graphc("compile", spec).returncode == 0
    output = spec.parent / "out" / "model.stream.onnx"
    before, content = output.stat().st_mtime_ns, output.read_bytes()
    assert graphc("compile", spec).returncode == 0
    assert output.stat().st_mtime_ns == before
    assert graphc("compile", "--force", spec).returncode == 0
    assert output.stat().st_mtime_ns > before
    assert output.read_bytes() == content, "the same spec, model and versions give the same bytes"
    before = output.stat().st_mtime_ns
    spec.write_text(spec.read_text().replace("chunk: 4", "chunk: 8"))
    assert graphc("compile", spec).returncode == 0
    assert output.stat().st_mtime_ns > before
    output.write_bytes(b"")
    assert graphc("compile", spec).returncode == 0
    assert output.stat().st_size > 0


def test_json_report_and_depfile(project: Project, tmp_path: Path) -> None:
    spec = project()
    done = graphc("compile", "--json", "--depfile", tmp_path / "model.d", spec)
    report = json.loads(done.stdout)
    assert [p["name"] for p in report["passes"]] == ["lift_state", "fold_constants", "fuse"]
    assert all(p["max_abs"] < 1e-5 for p in report["passes"])
    assert {s["kind"] for s in report["states"]} >= {"conv_context", "rnn_hidden", "rnn_cell", "delay_line"}
    rule = (tmp_path / "model.d").read_text()
    assert "model.stream.onnx:" in rule
    assert "spec.yaml" in rule
    assert rule.count("model.onnx") == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("chunk: 4", "chnk: 4"), "spec.yaml:4:10: stream.chnk: unknown key; did you mean 'chunk'?"),
        (("chunk: 4", "chunk: many"), "spec.yaml:4:10: stream.chunk"),
        (("fuse]", "fuze]"), "spec.yaml:5:38: passes[2]: there is no pass 'fuze'; did you mean 'fuse'?"),
        (("fuse]", "quantize: {mood: dynamic}]"), "did you mean 'mode'?"),
        (("fuse]", "quantize: {mode: dynamo}]"), "passes[2].quantize.mode"),
        (("x: {axis: 2}", "y: {axis: 2}"), "spec.yaml:4:43: stream.inputs.y: the model has no input 'y'"),
        (("axis: 2", "axis: 3"), "has no axis 3"),
        (
            ("model: model.onnx", "model: nothing.onnx"),
            "nothing.onnx: there is no such model file; the path in a spec is relative to the spec's folder",
        ),
        (("version: 1", "version: 1\nversion: 1"), "spec.yaml:2:1: the key 'version' appears twice"),
        (("version: 1", "version: [1"), "not YAML"),
        (
            ("passes: [lift_state, fold_constants, fuse]", "passes: [fuse, lift_state, lift_state]"),
            "'lift_state' is listed twice",
        ),
        (("passes: [lift_state, fold_constants, fuse]", "passes: [fuse]"), "nothing makes this model stream"),
        (("version: 1", "version: 1\npass_paths: [mine]"), "--allow-pass-path"),
        (("version: 1", "version: 1\nbudget: {rtf: -1}"), "budget.rtf"),
        (("version: 1", "version: true"), "version: input should be 1"),
        (("frame_ms: 10", "frame_ms: .inf"), "stream.frame_ms: expected a finite number"),
        (("chunk: 4", "chunk: 10000000000"), "stream.chunk"),
        (("model: model.onnx", 'model: ""'), "model: expected a path"),
        (("model: model.onnx", "model: ."), "the model is not a regular file"),
        (
            ("output: out/model.stream.onnx", "output: model.onnx"),
            "is an input of the compilation; name another output",
        ),
    ],
)
def test_a_bad_spec_says_where_what_and_what_to_do(project: Project, change: tuple[str, str], says: str) -> None:
    spec = project(spec=SPEC.replace(*change))
    done = graphc("compile", spec)
    assert done.returncode == 2
    assert says in one_line(done)
    assert not (spec.parent / "out").exists()


@pytest.mark.parametrize("content", [b"", b"\x08\x08random bytes" * 20, b"PK\x03\x04", None])
def test_a_broken_model_file_ends_in_one_line(project: Project, content: bytes | None) -> None:
    spec = project()
    model = spec.parent / "model.onnx"
    model.write_bytes(model.read_bytes()[:700] if content is None else content)
    done = graphc("compile", spec)
    assert done.returncode == 2
    assert "model.onnx: " in one_line(done)
    assert not (spec.parent / "out").exists()


def test_a_model_that_onnxruntime_cannot_run(project: Project) -> None:
    model = small_model()
    model.graph.node[0].domain = "somebody.elses"
    model.opset_import.append(helper.make_opsetid("somebody.elses", 1))
    done = graphc("compile", project(model))
    assert done.returncode == 2
    assert "onnxruntime cannot run the offline model" in one_line(done)


def test_external_data_outside_the_models_folder_is_not_read(project: Project, tmp_path: Path) -> None:
    model = small_model()
    (tmp_path / "secret").write_bytes(bytes(1000))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    onnx.save(model, inside / "model.onnx")
    spec = inside / "spec.yaml"
    spec.write_text(SPEC)
    done = graphc("compile", spec)
    assert done.returncode == 2
    assert "external data" in one_line(done)


def test_what_cannot_be_streamed_exits_with_3(project: Project) -> None:
    model = small_model()
    model.graph.node[2].attribute.append(helper.make_attribute("direction", "reverse"))
    done = graphc("compile", project(model))
    assert done.returncode == 3
    line = one_line(done)
    assert "node lstm (LSTM): runs backwards over time" in line
    assert "stream.window" in line


def test_a_chunk_that_does_not_fit_exits_with_3(project: Project) -> None:
    model = small_model()
    model.graph.node[0].attribute.append(helper.make_attribute("strides", [3]))
    done = graphc("compile", project(model))
    assert done.returncode == 3
    assert "use a multiple of 3" in one_line(done)


def test_numbers_that_do_not_hold_exit_with_1_and_name_the_pass(project: Project, tmp_path: Path) -> None:
    spec = project(spec=SPEC.replace("fuse]", "{quantize: {mode: weight_only, tolerance: {snr_db: 200}}}]"))
    done = graphc("compile", "--report-on-failure", tmp_path / "failed.json", spec)
    assert done.returncode == 1
    assert "after the pass 'quantize' the output 'out'" in one_line(done)
    assert not (spec.parent / "out").exists()
    failed = json.loads((tmp_path / "failed.json").read_text())
    assert failed["error"]["kind"] == "ValidationError"
    assert failed["passes"][-1]["name"] == "quantize"


def test_a_missed_budget_exits_with_1(project: Project) -> None:
    done = graphc("compile", project(spec=SPEC + "budget: {size_mb: 0.0001}\n"))
    assert done.returncode == 1
    assert "the budget is missed: size_mb: 0.0" in one_line(done)


def test_several_specs_each_for_itself_and_the_highest_status(project: Project) -> None:
    good = project()
    bad = good.parent / "bad.yaml"
    bad.write_text(SPEC.replace("chunk: 4", "chunk: 0"))
    done = graphc("compile", bad, good)
    assert done.returncode == 2
    assert {p.name for p in (good.parent / "out").iterdir()} == OUTPUTS


def test_a_full_disk_leaves_nothing_half_written(project: Project) -> None:
    """Writing to /dev/full fails as a full disk does; the write is redirected there by a limit on file size."""
    spec = project()
    (spec.parent / "out").mkdir()
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); sys.argv[0] = 'graphc';"
        "from graphc.cli.child_process import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "compile", str(spec)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the outputs cannot be written: File too large" in one_line(done)
    assert list((spec.parent / "out").iterdir()) == []


def test_an_output_folder_that_cannot_be_written(project: Project) -> None:
    spec = project()
    (spec.parent / "out").write_text("a file stands where the folder should be")
    done = graphc("compile", spec)
    assert done.returncode == 2
    assert "cannot be written" in one_line(done)


def test_interruption_exits_with_130_and_writes_nothing(project: Project) -> None:
    spec = project(spec=SPEC + "validate: {sequences: 4000, frames: [300, 400]}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "graphc", "compile", str(spec)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "interrupted" in stderr
    assert not (spec.parent / "out").exists()


def test_debug_shows_the_traceback(project: Project) -> None:
    done = graphc("compile", "--debug", project(spec=SPEC.replace("chunk: 4", "chunk: 0")))
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_inspect_says_what_a_lift_would_find(project: Project) -> None:
    spec = project()
    found = json.loads(graphc("inspect", "--json", spec.parent / "model.onnx").stdout)
    assert found["outputs"][0]["delay"] == 1
    assert found["outputs"][0]["receptive_field"] == {"left": None, "right": 1, "at_least": False}
    assert {s["kind"] for s in found["states"]} == {"conv_context", "rnn_hidden", "rnn_cell", "clock"}
    text = graphc("inspect", spec.parent / "model.onnx").stdout
    assert "delay 1 frame;" in text


def test_inspect_says_what_ends_the_promise(project: Project) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[1,2,T] x) => (float[1,2,A] y)
        { h = Shape (x) t = Gather (h, two) v = Min (t, late) e = Unsqueeze (v, nought) y = Slice (x, nought, e, two1) }"""
    model = onnx.parser.parse_model(text)
    numbers = {"two": np.array(2), "late": np.array(5000), "nought": np.array([0]), "two1": np.array([2])}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in numbers.items())
    path = project().parent / "limited.onnx"
    onnx.save(model, path)
    said = " ".join(graphc("inspect", "--input", "x=2", path).stdout.split())
    assert "streams of up to 5000 frames: beyond, y (Slice) behaves differently" in said


def test_inspect_names_the_obstacle(project: Project) -> None:
    model = small_model()
    model.graph.node[2].attribute.append(helper.make_attribute("direction", "reverse"))
    spec = project(model)
    done = graphc("inspect", spec.parent / "model.onnx")
    assert done.returncode == 3
    assert "node lstm (LSTM)" in done.stdout
    assert "what helps" in done.stdout


def test_init_writes_a_spec_that_compiles(project: Project, tmp_path: Path) -> None:
    spec = project()
    written = tmp_path / "new.yaml"
    assert graphc("init", spec.parent / "model.onnx", "-o", written).returncode == 0
    assert graphc("compile", written).returncode == 0
    assert (tmp_path / "model.stream.onnx").exists()
    again = graphc("init", spec.parent / "model.onnx", "-o", written)
    assert again.returncode == 2
    assert "exists already" in one_line(again)


def test_validate_and_bench_look_at_what_was_compiled(project: Project) -> None:
    spec = project()
    missing = graphc("validate", spec)
    assert missing.returncode == 2
    assert "it has not been compiled; graphc compile" in one_line(missing)
    assert graphc("compile", spec).returncode == 0
    done = graphc("validate", spec)
    assert done.returncode == 0
    assert "out: equal" in done.stdout
    assert "real-time factor" in graphc("bench", "--calls", "20", spec).stdout


def test_validate_sees_a_damaged_output(project: Project) -> None:
    spec = project()
    assert graphc("compile", spec).returncode == 0
    path = spec.parent / "out" / "model.stream.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 3:
            value = onnx.numpy_helper.to_array(tensor) * np.float32(1.5)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    onnx.save(model, path)
    done = graphc("validate", spec)
    assert done.returncode == 1
    assert "NOT EQUAL" in done.stdout


def test_passes_and_schema() -> None:
    listed = graphc("passes").stdout
    assert [line.split()[0] for line in listed.splitlines()] == [
        "attach_front_end",
        "convert_float",
        "fold_constants",
        "fuse",
        "lift_state",
        "pack_states",
        "quantize",
        "simplify",
    ]
    manual = graphc("passes", "quantize").stdout
    for heading in ("What it does:", "Why:", "Example:", "Limits:", "Options:", "exclude_nodes"):
        assert heading in manual
    unknown = graphc("passes", "quantise")
    assert unknown.returncode == 2
    assert "did you mean 'quantize'?" in one_line(unknown)
    schema = json.loads(graphc("schema").stdout)
    assert set(schema["required"]) == {"version", "model", "output", "passes"}


def test_bad_usage_exits_with_2() -> None:
    assert graphc("compile").returncode == 2
    assert graphc("nonsense").returncode == 2


def test_every_command_explains_itself() -> None:
    for name in SUMMARIES:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.help == SUMMARIES[name]
        done = graphc(name, "--help")
        assert done.returncode == 0
        assert "Usage:" in done.stdout


def test_what_needs_no_model_imports_no_library_of_models() -> None:
    code = (
        "import sys; from graphc.cli.main import cli\n"
        "for option in ('--version', '--help'):\n    cli([option], standalone_mode=False)\n"
        "assert not {'onnx', 'onnxruntime', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "compile" in done.stdout


def test_the_list_of_passes_imports_no_scipy() -> None:
    code = "import sys; from graphc.cli.main import cli\ncli(['passes'], standalone_mode=False)\nassert 'scipy' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_compiled_model_streams_by_its_own_manifest(project: Project) -> None:
    spec = project()
    assert graphc("compile", spec).returncode == 0
    out = spec.parent / "out"
    (out / "model.stream.onnx").rename(out / "moved.onnx")
    session = StreamSession(out / "moved.onnx")
    x = np.random.default_rng(0).standard_normal((1, 3, 23)).astype(np.float32)
    assert session.run(x)["out"].shape == (1, 4, 23)


def test_init_says_so_where_an_exact_lift_is_refused(project: Project, tmp_path: Path) -> None:
    model = small_model()
    model.graph.node[2].attribute.append(helper.make_attribute("direction", "reverse"))
    spec = project(model)
    written = tmp_path / "new.yaml"
    done = graphc("init", spec.parent / "model.onnx", "-o", written)
    assert done.returncode == 0
    assert "an exact lift is refused" in done.stderr
    assert "x: {axis: 2}" in written.read_text()
    assert graphc("compile", written).returncode == 0


def test_weights_of_a_large_model_go_to_a_file_beside_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is two gigabytes; here it is lowered."""
    import graphc.manifest.model_files

    monkeypatch.setattr(graphc.manifest.model_files, "EXTERNAL_DATA_LIMIT", 1000)
    monkeypatch.setattr(graphc.manifest.model_files, "SMALLEST_EXTERNAL", 64)
    spec = project()
    report = graphc.compile(spec)
    out = spec.parent / "out"
    assert {p.name for p in out.iterdir()} == OUTPUTS | {"model.stream.onnx.data"}
    assert "model.stream.onnx.data" in report.data["outputs"]
    x = np.random.default_rng(0).standard_normal((1, 3, 23)).astype(np.float32)
    assert StreamSession(out / "model.stream.onnx").run(x)["out"].shape == (1, 4, 23)


def test_a_model_of_an_old_opset_is_converted(project: Project) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 4, opset_import: ["" : 9]> g (float[1,3,T] x) => (float[1,3,T] out)'
        "{ p = Pad <pads=[0,0,2,0,0,0]> (x) c = Slice <axes=[2], starts=[1], ends=[-1]> (p) out = Relu (c) }"
    )
    assert graphc("compile", project(model)).returncode == 0


def test_the_model_is_never_overwritten(project: Project) -> None:
    spec = project()
    model = spec.parent / "model.onnx"
    before = model.read_bytes()
    (spec.parent / "linked.onnx").symlink_to(model)
    for output in ("model.onnx", "linked.onnx"):
        spec.write_text(SPEC.replace("out/model.stream.onnx", output))
        done = graphc("compile", spec)
        assert done.returncode == 2
        assert "name another output" in one_line(done)
    spec.write_text(SPEC)
    done = graphc("compile", "--depfile", model, spec)
    assert done.returncode == 2
    assert "the depfile would overwrite" in one_line(done)
    assert model.read_bytes() == before


def test_usage_errors_are_one_line_too() -> None:
    for arguments in (("compil",), ("compile", "--x", "a.yaml"), ("bench", "a.yaml", "--calls", "0"), ("inspect",)):
        done = graphc(*arguments)
        assert done.returncode == 2
        assert "--help`" in one_line(done)


@pytest.mark.parametrize(
    "limit", ["--max-memory-gb=nan", "--max-memory-gb=1e300", "--max-minutes=inf", "--max-minutes=nan"]
)
def test_limits_are_finite(project: Project, limit: str) -> None:
    done = graphc("compile", limit, project())
    assert done.returncode == 2
    assert limit.partition("=")[0] in one_line(done)


@pytest.mark.parametrize("seconds", [0.15, 0.4, 0.8])
def test_an_interruption_of_the_group_is_told_once(project: Project, seconds: float) -> None:
    spec = project(spec=SPEC + "validate: {sequences: 4000, frames: [300, 400]}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "graphc", "compile", str(spec)],
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "graphc: interrupted; no output is half written\n"


def test_an_interruption_on_a_terminal_ends_the_bar_and_shows_the_cursor(project: Project) -> None:
    spec = project(spec=SPEC + "validate: {sequences: 4000, frames: [300, 400]}\n")
    process, terminal = pty.fork()
    if not process:
        os.execv(sys.executable, [sys.executable, "-m", "graphc", "compile", str(spec)])
    told = b""
    while b"lift_state" not in told:
        told += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    with suppress(OSError):  # Linux: reading a terminal that nobody has open any more
        while more := os.read(terminal, 4096):
            told += more
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    assert told.endswith(b"\x1b[?25hgraphc: interrupted; no output is half written\r\n")


def test_a_closed_stderr_changes_no_status(project: Project) -> None:
    command = [sys.executable, "-m", "graphc", "compile", "--max-minutes", "0.001", str(project())]
    done = subprocess.run(command, preexec_fn=lambda: os.close(2), stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


def test_numbers_that_are_none_compare_with_nothing(project: Project) -> None:
    model = small_model()
    model.graph.node[-1].op_type = "Add"
    model.graph.node[-1].input[1] = "none"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(np.nan), "none"))
    done = graphc("compile", project(model))
    assert done.returncode == 2
    assert "gives no finite number on random streams" in one_line(done)


def test_what_cannot_be_printed_is_no_success() -> None:
    code = (
        "import io, sys\n"
        "class Full(io.StringIO):\n"
        "    def flush(self): raise OSError(28, 'No space left on device')\n"
        "sys.stdout, sys.argv = Full(), ['graphc', 'passes']\n"
        "from graphc.cli.main import run; run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert one_line(done) == "graphc: error: No space left on device"
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "graphc", "passes"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


def test_a_name_that_is_no_text(project: Project) -> None:
    spec = project()
    done = graphc("compile", spec.rename(os.fsdecode(os.fsencode(spec.parent) + b"/s\xff.yaml")))
    assert done.returncode == 2
    assert "the spec's name is not UTF-8" in one_line(done)


def test_graphc_alone_prints_its_help() -> None:
    done = graphc()
    assert done.returncode == 2
    assert done.stdout.startswith("Usage: graphc [OPTIONS] COMMAND [ARGS]...\n\n")
    assert done.stderr == ""


def test_a_misspelt_command_is_told_with_the_right_one() -> None:
    done = graphc("complie", "spec.yaml")
    assert done.returncode == 2
    assert "There is no command 'complie'; did you mean 'compile'?" in one_line(done)


def test_a_model_in_the_place_of_a_spec(project: Project) -> None:
    done = graphc("compile", project().parent / "model.onnx")
    assert done.returncode == 2
    assert "this is a model; expected a spec; `graphc init MODEL` writes a spec for it" in one_line(done)


def test_a_spec_in_the_place_of_a_model(project: Project) -> None:
    done = graphc("inspect", project())
    assert done.returncode == 2
    assert "this looks like a spec; expected a model; name an .onnx file" in one_line(done)


def test_an_unexpected_error_is_a_defect_and_status_4() -> None:
    def fail() -> None:
        raise ZeroDivisionError("nothing")

    failures = Failures(debug=False)
    with failures.caught():
        fail()
    assert failures.status == 4
