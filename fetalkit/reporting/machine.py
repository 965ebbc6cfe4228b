"""What kind of machine made a report: on one kind, a study gives the same bits.

Digits depend on the processor (its model decides which instructions libraries choose), on the device and the precision of
the networks, on the libraries of linear algebra, and on the versions of all libraries that compute. `fetalkit report` writes
them to ``machine.json`` beside the tables, and `fetalkit verify` compares two of them.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from fetalkit.config.params import Machine
from fetalkit.config.sections import read, validated
from fetalkit.utils import paths, provenance

FILE = "machine.json"
LIBRARIES = (*provenance.LIBRARIES, "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "pillow", "imagehash")


def kind(study: str, notebooks: Sequence[str]) -> dict[str, Any]:
    """The machine of a study's run.

    Parameters
    ----------
    study, notebooks
        Processors are those that the records of these executed notebooks name.

    Returns
    -------
    dict
        ``processor``, ``instructions``, ``device``, ``precision``, ``trainings`` (how their numbers were rounded, by whichever
        machines have trained), ``blas``, ``python``, ``libraries`` (name → version); text.
    """
    # Here, not above: a comparison, with which every run ends, waits for none of them.
    import scipy.linalg  # noqa: F401 - it has a BLAS of its own, which is seen once it is loaded
    import threadpoolctl
    import torch

    from fetalkit.experiments import outputs
    from fetalkit.runner.records import record
    from fetalkit.utils import devices

    run = validated(Machine, read(paths.PARAMS).get("run"), paths.PARAMS.name, "run")
    on = devices.device(run.device)
    libraries = {}
    for name in sorted(LIBRARIES):
        try:
            libraries[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    blas = {" ".join(filter(None, (pool["internal_api"], pool["version"], pool.get("architecture")))) for pool in pools}
    return {
        "processor": ", ".join(sorted({record(paths.executed(study, name))["cpu"] for name in notebooks})),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(on) if on.type == "cuda" else on.type,
        "trainings": "; ".join(outputs.roundings(study)),
        "precision": str(devices.precision(run.precision, on)).removeprefix("torch."),
        "blas": ", ".join(sorted(blas)),
        "python": platform.python_version(),
        "libraries": libraries,
    }


def differences(published: Mapping[str, Any], fresh: Mapping[str, Any]) -> list[str]:
    """What is another one than it was, e.g. ``"torch 2.9.1, published 2.8.0"``; empty for one kind of machine."""
    before, after = (_flat(machine) for machine in (published, fresh))
    names = dict.fromkeys([*before, *after])
    return [
        f"{name} {after.get(name, 'unknown')}, published {before.get(name, 'unknown')}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def load(folder: Path) -> dict[str, Any] | None:
    """What `kind` has found, from a folder of a report; None where it does not say."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _flat(machine: Mapping[str, Any]) -> dict[str, str]:
    libraries = machine.get("libraries")
    others = {name: str(value) for name, value in machine.items() if name != "libraries"}
    return others | (dict(libraries) if isinstance(libraries, dict) else {})
