"""A temporary git and DVC repository with the whole project in it, and parameters that make its study take seconds."""

import os
import shutil
import subprocess
import sys
from copy import copy
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
COPIED = (
    "fetalkit", "notebooks", "dvc.yaml", "params.yaml", "Makefile", ".dvcignore", ".gitignore", "pyproject.toml", "README.md",
    "docs",
)  # fmt: skip
LIMIT = 1800  # seconds that a command may take on a slow machine, before it counts as hanging
OPENED = ROOT / "tests" / "opened_files"
FURTHER = [
    "diffusion-phantoms", "diffusion-ceiling", "diffusion-mixed-50", "gan", "interpolation", "simulation", "mixup", "cutmix",
    "real+ultrasound",
]  # fmt: skip
PLANES = ["Fetal abdomen", "Fetal brain", "Fetal femur", "Fetal thorax", "Maternal cervix", "Other"]
RESNET = {"model": "resnet10t", "arguments": {"stem_width": 8, "channels": [8, 8, 16, 16]}}
_DIFFUSION = dict(channels=[16, 32], attention=[False, True], steps=6, guide_steps=3, snapshots=[0.5])
_SAMPLING = dict(steps=3, guidance_kind="classifier-free", guidance=1.5, guidance_interval=[0, 100])
TINY = {
    "cohort": dict(planes=PLANES, train_patients=16, test_patients=8, images_per_patient=6, image_size=48, seed=2),
    "images": {"image_size": 32},
    "splits": {"shots": [3, "all"], "seeds": [0, 1], "validation_fraction": 0.25},
    "generators": {
        "diffusion": {"training": _DIFFUSION, "sampling": _SAMPLING, "budget": None, "stopping": None},
        "diffusion-phantoms": {
            "training": _DIFFUSION,
            "sampling": _SAMPLING,
            "budget": None,
            "stopping": None,
            "start": {"images_per_plane": 2, "steps": 3},
        },
        "gan": {"training": {"channels": [16, 32], "latent": 8, "steps": 4}},
        "interpolation": {"sampling": {"neighbours": 2}},
        "simulation": {"sampling": {"simulated_size": 48}},
    },
    "synthesis": {"images_per_plane": 4},
    "fidelity": {"guidance_scales": {"classifier-free": [1, 2], "classifier": [1]}, "variant_images_per_plane": 2},
    "classify": {
        "arms": ["real", "real-long", "diffusion", "synthetic-only"],
        "further": [{"arms": FURTHER, "shots": [3], "classifiers": ["resnet10t"]}],
        "pretrain_steps": 3,
        "train_steps": 4,
        "batch_size": 8,
        "pseudo_labels": None,
        "classifiers": {
            "resnet10t": RESNET,
            "vit": {
                "model": "vit_tiny_patch16_224",
                "arguments": dict(patch_size=8, embed_dim=32, depth=1, num_heads=2),
            },
        },
    },
    "report": {
        "bootstrap_resamples": 200,
        "converged_within": 1.0,  # all do
        "converged_near": 1.0,
        "comparisons": [dict(arm="diffusion", control="real-long", k=3, classifier="mean", primary=True)],
    },
}
# Replaced as a whole where they are changed; all other sections are changed key by key.
_WHOLE = {"classifiers", "further", "guidance_scales", "blocks", "leave_out"}
TRANSFER = {
    "seeds": [0],
    "labelled": 1,
    "training": {
        "classifiers": {"resnet10t": RESNET},
        **dict(pretrain_steps=2, train_steps=2, batch_size=8, learning_rate=0.001, weight_decay=0.05),
        **dict(warmup_fraction=0.1, label_smoothing=0.0),
    },
    "generator": {"steps": 3, "images_per_plane": 2, "magnifications": [0.8, 1.25]},
    "blocks": [
        {
            "methods": [
                *("unaligned", "standard-outline", "synthetic-source"),
                *("pseudo-label", "coral", "synthetic-target", "joint"),
            ],
            "directions": ["phantom to scanner-a convex"],
            "classifiers": ["resnet10t"],
        }
    ],
}


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


def _merge(content: dict, changes: dict):
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict) and key not in _WHOLE:
            _merge(content[key], value)
        else:
            content[key] = value


class Clone:
    """A temporary git and DVC repository with the project in it and parameters that take seconds."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            ignore = shutil.ignore_patterns("__pycache__")
            (shutil.copytree if source.is_dir() else shutil.copy)(
                source, folder / name, **({"ignore": ignore} if source.is_dir() else {})
            )
        # In the notebook's own process: a worker process takes longer to start than all of its jobs.
        self.change(phantom=TINY, transfer={"phantom": TRANSFER}, run={"workers": 1})
        self("git", "init", "--quiet")
        self("dvc", "init", "--quiet")
        self.commit()

    def copy(self, folder: Path) -> "Clone":
        """A second clone with all that this one has made."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = copy(self)
        other.folder = folder
        return other

    def __call__(self, *command, check=True):
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env=self.environment(), timeout=LIMIT
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def environment(self):
        # python and dvc of this environment; the clone's own fetalkit comes first.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        identity = {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        search = os.pathsep.join([str(self.folder), str(OPENED)])
        opened = str(self.folder.with_name(f"{self.folder.name}-opened.txt"))
        return (
            os.environ | identity | {"PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": search, "OPENED_FILES": opened}
        )

    def opened(self) -> dict[str, set[str]]:
        """Stage → files below ``data/`` that it has opened to read, relative to the clone."""
        read = {}
        for line in self.folder.with_name(f"{self.folder.name}-opened.txt").read_text().splitlines():
            stage, path = line.split("\t")
            if Path(path).is_relative_to(self.folder / "data"):
                read.setdefault(stage, set()).add(Path(path).relative_to(self.folder).as_posix())
        return read

    def commit(self):
        self("git", "add", "--all")
        self("git", "commit", "--quiet", "--allow-empty", "--message", "state")

    def change(self, **sections):
        """Change parameters: nested keys of ``params.yaml`` → values."""
        path = self.folder / "params.yaml"
        content = yaml.safe_load(path.read_text())
        _merge(content, sections)
        path.write_text(yaml.dump(content, Dumper=_NoAliases, sort_keys=False))

    def executed(self, repro):
        """Names of the stages that a ``dvc repro`` has run, but for the one that looks at the source files every time."""
        names = [line.split("'")[1] for line in repro.stdout.splitlines() if line.startswith("Running stage")]
        return [name for name in names if not name.endswith("fetch")]

    def table(self, *parts):
        return pd.read_csv(self.folder.joinpath(*parts), dtype={"k": str})
