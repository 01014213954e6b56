"""The shape of the code: data flows one way, passes use the public API alone, packages are listed."""

from __future__ import annotations

import ast
import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from conftest import ROOT

from graphc.registry import load_registry
from graphc.spec import json_schema
from graphc.yaml_source import read_yaml

SOURCE = ROOT / "src" / "graphc"
ORDER = [
    "errors",
    "interruption",
    "magnitude",
    "printable",
    "length",
    "signature",
    "kept",
    "graph",
    "side_by_side",
    "runtime",
    "roles",
    "yaml_source",
    "plain_words",
    "spec",
    "offline",
    "drawn",
    "files",
    "trend",
    "ranges",
    "recordings",
    "local_functions",
    "model_text",
    "model",
    "shapes",
    "compare",
    "stream",
    "verify",
    "manifest",
    "stream_buffer",
    "session",
    "batch_session",
    "apart",
    "validate",
    "trials",
    "calibration",
    "drift",
    "budget",
    "bisect",
    "mutants",
    "mutation",
    "bench",
    "pass_api",
    "guard",
    "rewriting",
    "api",
    "registry",
    "plan",
    "pipeline",
    "smaller_models",
    "reduction",
    "reproducer",
    "plots",
    "report",
    "fingerprint",
    "components",
    "compiler",
    "output_check",
    "transforming",
    "terminal",
    "inspection",
    "starter",
    "recheck",
    "cli",
    "supervised",
    "__init__",
    "__main__",
]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
    return found


def part_of(module: str) -> str | None:
    pieces = module.split(".")
    if pieces[0] != "graphc":
        return None
    return pieces[1] if len(pieces) > 1 and pieces[1] in ORDER else None


def test_a_file_imports_only_what_stands_above_it() -> None:
    wrong = []
    for path in SOURCE.rglob("*.py"):
        here = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for module in imports_of(path):
            there = part_of(module)
            allowed = there == here or there is None or ORDER.index(there) < ORDER.index(here)
            if not allowed:
                wrong.append(f"{path.relative_to(SOURCE)} imports {module}")
    assert not wrong


def modules() -> dict[str, Path]:
    """Every file of graphc by its module name."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports for types alone count too."""
    known = modules()
    arrows = {name: (imports_of(path) & set(known)) - {name} for name, path in known.items()}
    arrows["graphc"] = set()
    while free := {name for name, there in arrows.items() if not there}:
        arrows = {name: there - free for name, there in arrows.items() if name not in free}
    assert not arrows, f"in or before a circle: {sorted(arrows)}"


def test_symbolic_knows_nothing_of_rules() -> None:
    """Formulas stand below the rules that ask them."""
    allowed = {"length", "facts", "symbolic"}
    for path in (SOURCE / "stream" / "symbolic").rglob("*.py"):
        inner = {m.split(".")[2] for m in imports_of(path) if m.startswith("graphc.stream.")}
        assert inner <= allowed, path


@pytest.mark.parametrize(("folder", "below"), [("domain", {"domain"}), ("queries", {"domain", "queries"})])
def test_formulas_know_nothing_of_ops_and_questions_nothing_of_proofs(folder: str, below: set[str]) -> None:
    for path in (SOURCE / "stream" / "symbolic" / folder).rglob("*.py"):
        inner = {m.split(".")[3] for m in imports_of(path) if m.startswith("graphc.stream.symbolic.")}
        assert inner <= below, path


def test_every_module_has_its_place_in_the_order() -> None:
    modules = {p.stem for p in SOURCE.glob("*.py")} | {"stream", "rewriting", "cli"}
    assert modules == set(ORDER)


def test_onnxruntime_is_imported_in_one_file_only() -> None:
    users = [p.relative_to(SOURCE) for p in SOURCE.rglob("*.py") if "onnxruntime" in imports_of(p)]
    assert users == [Path("runtime.py")]


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
        "graphc" + ("." + ".".join(p.relative_to(SOURCE).parts) if p != SOURCE else "")
        for p in {f.parent for f in SOURCE.rglob("*.py")}
    }
    passes = ROOT / "passes"
    folders |= {
        "graphc_passes" + ("." + ".".join(p.relative_to(passes).parts) if p != passes else "")
        for p in {f.parent for f in passes.rglob("*.py")}
    }
    assert set(project["tool"]["setuptools"]["packages"]) == folders


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
