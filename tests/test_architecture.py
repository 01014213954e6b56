"""The shape of the code: data flows one way, passes use the public API alone, packages are listed."""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import jsonschema
import pytest
from conftest import ROOT

from graphc.passes.registry import load_registry
from graphc.spec.schema import json_schema
from graphc.spec.yaml_source import read_yaml

SOURCE = ROOT / "src" / "graphc"
RUNTIME = ROOT / "clients" / "python" / "src" / "graphc_runtime"
ORDER = (
    "errors",
    "system",
    "contract",
    "ir",
    "op_sets",
    "spec",
    "emit",
    "targets",
    "offline",
    "manifest",
    "stream",
    "validate",
    "measure",
    "rewriting",
    "pass_cache",
    "passes",
    "api",
    "rule_api",
    "target_api",
    "diagnose",
    "build",
    "client_projects",
    "pipelines",
    "engines",
    "recorded",
    "sweeps",
    "tracking",
    "discover",
    "cli",
    "__init__",
    "__main__",
)
RUNTIMES = ("MNN", "ai_edge_litert", "coremltools", "executorch", "openvino", "torch", "tract")
STREAM_ORDER = (
    "facts",
    "symbolic",
    "lowering",
    "canonical",
    "evaluation",
    "boundary",
    "time",
    "scores",
    "index_maps",
    "positions",
    "attention",
    "rules",
    "propagation",
    "changed_ports",
    "modes",
    "streaming_ports",
    "lift",
    "clip_models",
)
LISTS = {
    "cli/commands",
    "emit/tflite/rules",
    "emit/torch_program/rules",
    "stream/rules",
    "stream/symbolic/ops",
    "passes/_rewrites",
}
MOST_FILES = 12
MOST_LINES = 300


@cache
def imports_of(path: Path) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
    return frozenset(found)


def wrong_arrows(folder: Path, package: str, order: tuple[str, ...]) -> list[str]:
    """Imports of a folder's parts that do not point at what stands above them in the order."""
    wrong = []
    for path in folder.rglob("*.py"):
        here = path.relative_to(folder).parts[0].removesuffix(".py")
        for module in imports_of(path):
            there = module.removeprefix(f"{package}.").split(".")[0] if module.startswith(f"{package}.") else here
            if there in order and there != here and order.index(there) >= order.index(here):
                wrong.append(f"{path.relative_to(folder)} imports {module}")
    return wrong


def parts_of(folder: Path) -> set[str]:
    files = {p.stem for p in folder.glob("*.py")}
    return files | {p.name for p in folder.iterdir() if (p / "__init__.py").exists()}


def test_a_part_imports_only_what_stands_above_it() -> None:
    assert parts_of(SOURCE) == set(ORDER)
    assert not wrong_arrows(SOURCE, "graphc", ORDER)


def test_a_part_of_stream_imports_only_what_stands_above_it() -> None:
    assert parts_of(SOURCE / "stream") - {"__init__"} == set(STREAM_ORDER)
    assert not wrong_arrows(SOURCE / "stream", "graphc.stream", STREAM_ORDER)


def test_every_folder_says_what_is_in_it_and_holds_a_dozen_files() -> None:
    for folder in {p.parent for root in (SOURCE, RUNTIME, ROOT / "passes") for p in root.rglob("*.py")}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder
        files = [p for p in folder.glob("*.py") if p.name != "__init__.py"]
        assert len(files) <= MOST_FILES or any(folder.match(f"**/{name}") for name in LISTS), folder


def test_no_file_is_longer_than_a_reader_holds() -> None:
    sources = [p for root in (SOURCE, RUNTIME, ROOT / "passes") for p in root.rglob("*.py")]
    assert [str(p) for p in sources if len(p.read_text().splitlines()) > MOST_LINES] == []


def modules() -> dict[str, Path]:
    """Every file of graphc by its module name."""
    found = {}
    for source in (SOURCE, RUNTIME):
        for path in source.rglob("*.py"):
            parts = path.relative_to(source.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports for types alone count too."""
    known = modules()
    arrows = {name: (imports_of(path) & set(known)) - {name} for name, path in known.items()}
    arrows["graphc"] = arrows["graphc_runtime"] = set()
    while free := {name for name, there in arrows.items() if not there}:
        arrows = {name: there - free for name, there in arrows.items() if name not in free}
    assert not arrows, f"in or before a circle: {sorted(arrows)}"


@pytest.mark.parametrize(("folder", "below"), [("domain", {"domain"}), ("queries", {"domain", "queries"})])
def test_formulas_know_nothing_of_ops_and_questions_nothing_of_proofs(folder: str, below: set[str]) -> None:
    for path in (SOURCE / "stream" / "symbolic" / folder).rglob("*.py"):
        inner = {m.split(".")[3] for m in imports_of(path) if m.startswith("graphc.stream.symbolic.")}
        assert inner <= below, path


def test_onnxruntime_is_imported_in_two_files_only() -> None:
    users = {name for name, path in modules().items() if "onnxruntime" in imports_of(path)}
    assert users == {"graphc.ir.ort_session", "graphc_runtime.ort_model"}


def test_the_runtime_knows_nothing_of_the_compiler() -> None:
    for path in RUNTIME.rglob("*.py"):
        others = {name.split(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names)
        allowed = {"__future__", "graphc_runtime", "numpy", "onnxruntime", "ml_dtypes"}
        assert others <= allowed | ({*RUNTIMES} if "runtimes" in path.parts else set()), path


def test_passes_use_public_names_of_the_api_alone() -> None:
    for path in (ROOT / "passes").rglob("*.py"):
        used = {m for m in imports_of(path) if m.split(".")[0] == "graphc"}
        assert all(m == "graphc.api" or m.startswith("graphc.api.") for m in used), path
        assert not any(m.rpartition(".")[2].startswith("_") for m in used), path


def test_graphc_never_imports_its_passes() -> None:
    assert not [p for p in SOURCE.rglob("*.py") if any(m.startswith("graphc_passes") for m in imports_of(p))]


def test_packages_are_listed_as_the_folders_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {
        ".".join((name, *p.relative_to(root).parts))
        for name, root in (("graphc", SOURCE), ("graphc_passes", ROOT / "passes"), ("graphc_runtime", RUNTIME))
        for p in {f.parent for f in root.rglob("*.py")}
    }
    web = ("web/project", "web/src", *(f"web/src/{name}" for name in ("contract", "live", "pipelines")))
    copied = ("cpp", "cpp/project", "python/project", *web)
    folders |= {"graphc_clients", *(f"graphc_clients.{name.replace('/', '.')}" for name in copied)}
    assert set(project["tool"]["setuptools"]["packages"]) == folders


def test_every_folder_of_tests_is_collected(pytestconfig: pytest.Config) -> None:
    """pytest passes over folders that are named as those of builds are, unless the project says otherwise."""
    folders = {p.parent.relative_to(ROOT) for p in (ROOT / "tests").rglob("test_*.py")}
    skipped = pytestconfig.getini("norecursedirs")
    assert not [f for f in folders for part in f.parts if any(fnmatch(part, pattern) for pattern in skipped)]


def test_every_pass_has_a_manual() -> None:
    registry = load_registry()
    for name in registry:
        manual = registry[name].manual()
        assert all(f"{heading}:" in manual for heading in ("What it does", "Why", "Example", "Limits")), name
        assert all(f.description for f in registry[name].Config.model_fields.values()), name


def test_every_spec_fits_the_schema() -> None:
    schema = json_schema()
    for path in [*(ROOT / "specs").glob("*.yaml"), *(ROOT / "examples" / "real").glob("*.yaml")]:
        jsonschema.validate(read_yaml(path).data, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 1, "model": "m", "output": "o.onnx", "passes": [], "pases": []}, schema)


def test_the_schema_in_docs_is_the_one_printed() -> None:
    assert json.loads((ROOT / "docs" / "spec.schema.json").read_text()) == json_schema()
