"""Logs a run in MLflow, and registers a model that streams."""

from __future__ import annotations

import logging
import os
import re
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import graphc_runtime
from graphc.build.sbom import metadata_of
from graphc.tracking.published import Published, TrackerError
from graphc.tracking.run_record import RunRecord
from graphc_runtime.contract.first_values import numpy_dtype
from graphc_runtime.contract.manifest import PortEntry

SERVER = Path(__file__).with_name("mlflow_model.py")
UNFIT = r"[/:.%\"']"
NEEDED = ("numpy", "onnxruntime")
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def to_mlflow(record: RunRecord, experiment: str, registered: str | None, address: str | None) -> Published:
    """Logs a run with a model that ``mlflow models`` and ``mlflow.pyfunc`` can load.

    Args:
        registered: the name in the registry; None registers nothing.
        address: the address of the tracking server; None for the one in MLFLOW_TRACKING_URI.

    Errors:
        TrackerError: MLflow is not installed, or its server does not accept the run.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})
    try:
        import mlflow
    except ImportError:
        raise TrackerError("MLflow is not installed", hint="pip install 'graphc[mlflow]'") from None
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    if address is not None:
        mlflow.set_tracking_uri(address)
    where = mlflow.get_tracking_uri()
    try:
        with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
            mlflow.set_experiment(experiment)
            with mlflow.start_run(run_name=record.name) as run:
                log_record(mlflow, record)
                version = log_model(mlflow, record, registered)
    except (mlflow.exceptions.MlflowException, OSError) as err:
        raise TrackerError(f"MLflow did not accept the run: {' '.join(str(err).split())[:300]}", where=where) from err
    return Published(run.info.run_id, version, where)


def log_record(mlflow: Any, record: RunRecord) -> None:
    mlflow.log_params(record.params)
    mlflow.log_metrics(record.metrics)
    for step, (_, values) in enumerate(record.steps):
        mlflow.log_metrics(values, step=step)
    mlflow.set_tags({f"graphc.sha256.{name}": digest for name, digest in record.lineage.items()})
    for folder, files in record.artifacts.items():
        for path in files:
            mlflow.log_artifact(str(path), folder)


def log_model(mlflow: Any, record: RunRecord, registered: str | None) -> str | None:
    """Logs the model. Returns its version in the registry; None if it is not registered."""
    with TemporaryDirectory() as folder:
        for path in record.served:
            copyfile(path, Path(folder) / path.name)
        logged = mlflow.pyfunc.log_model(
            name=re.sub(UNFIT, "-", record.name),
            python_model=str(SERVER),
            artifacts={"compiled": folder},
            code_paths=[str(Path(graphc_runtime.__file__).parent)],
            signature=signature_of(record),
            pip_requirements=[f"{name}=={metadata_of(name)['Version']}" for name in NEEDED],
            registered_model_name=registered,
            metadata={"graphc.model": record.served[0].name, "graphc.lineage": record.lineage},
        )
    found = logged.registered_model_version
    return None if found is None else str(found)


def signature_of(record: RunRecord) -> Any:
    """The signature: any number of frames in, new output frames out. Params name the stream and its end."""
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema

    manifest = record.manifest.of_one()
    params = ParamSchema([ParamSpec("stream", "string", ""), ParamSpec("end", "boolean", False)])
    ports = [Schema([tensor_of(port) for port in side]) for side in (manifest.inputs, manifest.outputs)]
    return ModelSignature(*ports, params)


def tensor_of(port: PortEntry) -> Any:
    from mlflow.types import TensorSpec

    sizes = [-1 if a == port.axis or not isinstance(d, int) else d for a, d in enumerate(port.shape)]
    shape = (-1, *sizes) if port.is_step else tuple(sizes)
    return TensorSpec(np.dtype(numpy_dtype(port.dtype)), shape, port.name)
