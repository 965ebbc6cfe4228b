"""A study whose processes are killed and begun again: real ``dvc repro`` in temporary clones.

That each trainer and the runner of the stages go on after SIGKILL is tested beside their other tests, every time.
"""

import os
import signal
import subprocess
import time

import numpy as np
import pytest
from small_clone import LIMIT, RESNET, Clone

pytestmark = [pytest.mark.slow, pytest.mark.long]


# Enough to be killed in the middle of: two generators, and trainings of which some are shared by two arms.
SMALL = {
    "splits": {"seeds": [0]},
    "classify": {"arms": ["real", "real-long", "diffusion"], "further": [], "classifiers": {"resnet10t": RESNET}},
}


def test_a_killed_study_goes_on_and_ends_with_the_same_bits(tmp_path):
    """SIGKILL the whole process group in the middle of the two long stages, then finish them."""
    whole = Clone(tmp_path / "whole")
    whole.change(phantom=SMALL)
    whole("dvc", "repro", "split", "decode")
    killed = whole.copy(tmp_path / "killed")
    killed.change(run={"workers": 2})  # processes of their own, which are killed with it; the numbers are the same
    whole("dvc", "repro", "classify")
    for stage, sign in (
        ("train-generators", "data/phantom/generators"),
        ("classify", "data/phantom/trainings/classify"),
    ):
        repro = subprocess.Popen(
            ["dvc", "repro", stage], cwd=killed.folder, env=killed.environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + LIMIT
        while repro.poll() is None and not any((killed.folder / sign).glob("*")) and time.monotonic() < end:
            time.sleep(0.05)
        assert repro.poll() is None, "the stage was over before it could be killed"
        os.killpg(repro.pid, signal.SIGKILL)
        repro.wait()
        assert any((killed.folder / sign).glob("*")), "nothing was there to go on from"
    killed("dvc", "repro", "classify")
    folders = [clone.folder / "data" / "phantom" for clone in (whole, killed)]
    assert (folders[0] / "classify/results.csv").read_bytes() == (folders[1] / "classify/results.csv").read_bytes()
    names = sorted(str(path.relative_to(folders[0])) for path in folders[0].glob("synthetic/*.npz"))
    assert {f"synthetic/{name}-seed0.npz" for name in ("diffusion-k3", "diffusion-kall")} <= set(names)
    for name in ("classify/predictions.npz", *names):
        with np.load(folders[0] / name) as one, np.load(folders[1] / name) as other:
            assert one.files == other.files and all(np.array_equal(one[key], other[key]) for key in one), name
