"""Logs a run in Weights & Biases: on a server, or in a folder if WANDB_MODE is offline."""

from __future__ import annotations

from graphc.tracking.published import Published, TrackerError
from graphc.tracking.run_record import RunRecord


def to_wandb(record: RunRecord, experiment: str, registered: str | None) -> Published:
    """Logs a run, with the compiled files in an artifact.

    Args:
        experiment: the name of the project.
        registered: the name of the artifact; None for the model's name.

    Errors:
        TrackerError: wandb is not installed, or does not accept the run.
    """
    try:
        import wandb
    except ImportError:
        raise TrackerError("wandb is not installed", hint="pip install 'graphc[wandb]'") from None
    settings = wandb.Settings(silent=True)
    try:
        with wandb.init(project=experiment, name=record.name, config=record.params, settings=settings) as run:
            run.summary.update(record.metrics)
            for step, (_, values) in enumerate(record.steps):
                run.log(values, step=step)
            artifact = wandb.Artifact(registered or record.name, type="model", metadata=dict(record.lineage))
            for folder, files in record.artifacts.items():
                for path in files:
                    artifact.add_file(str(path), name=f"{folder}/{path.name}")
            run.log_artifact(artifact)
            where = run.url or run.dir
    except (wandb.Error, OSError) as err:
        raise TrackerError(f"wandb did not accept the run: {' '.join(str(err).split())[:300]}") from err
    return Published(run.id, None, where)
