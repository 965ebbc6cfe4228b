"""Work on a Dask cluster: the same bits as without, whoever is killed; and one clear line where a cluster is of no use."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_study
from on_cluster import Elsewhere, named

from fetalkit.config.machine import Machine, Slurm
from fetalkit.config.sections import validated
from fetalkit.experiments import classification, generator_training, synthesis
from fetalkit.utils import cluster, parallel, paths
from fetalkit.utils.cluster import Cluster
from fetalkit.utils.errors import FetalkitError

RUN = dict(device="cpu", precision="float32", workers=1)
SLURM = dict(
    queue="long", account="us", cores=8, memory="64GB", walltime="12:00:00", jobs=3, directives=["--exclusive"]
)


def expected(**changes):
    with cluster._expected() as here:
        return replace(here, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(cluster="scheduler"), ["run.cluster", "'scheduler'"]),
        (dict(cluster="tcp://a:8786", slurm=SLURM), ["run", "keep one"]),
        (dict(cluster="tcp://a:8786", processes=2), ["processes = 2", "one machine"]),
        (dict(slurm=SLURM | dict(memory="plenty")), ["run.slurm.memory", "'plenty'"]),
        (dict(slurm=SLURM | dict(cpus=3)), ["run.slurm.cpus", "not a known key"]),
    ],
)
def test_contradictions_are_told_before_anything_runs(changes, said):
    with pytest.raises(FetalkitError) as raised:
        validated(Machine, RUN | changes, "params.yaml", "run")
    assert all(word in str(raised.value) for word in said) and "\n" not in str(raised.value)


@pytest.mark.slow
def test_without_a_cluster_nothing_of_dask_is_imported():
    script = (
        "import sys\nfrom fetalkit.experiments import classification, synthesis\nfrom fetalkit.utils import parallel\n"
        "parallel.run(dict, [dict(a=1)], 1)\n"
        "assert not {'dask', 'distributed', 'accelerate', 'dask_jobqueue'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_extra_is_one_line(monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    for place, missing in ((Cluster("tcp://a:8786"), "distributed"), (Cluster(slurm=SLURM), "dask_jobqueue")):
        with pytest.raises(FetalkitError, match=rf"{missing} not installed; pip install 'fetalkit\[cluster\]'"):
            parallel.run(dict, [dict(a=1)], place)


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch, elsewhere):
    monkeypatch.setattr(cluster, "_CONNECT", 0.5)
    with pytest.raises(FetalkitError, match="run.cluster = 'tcp://127.0.0.1:9': no scheduler answers") as raised:
        parallel.run(dict, [dict(a=1)], Cluster("tcp://127.0.0.1:9"))
    assert "\n" not in str(raised.value)


def test_slurm_without_sbatch_is_one_line(monkeypatch):
    monkeypatch.setattr(cluster.shutil, "which", lambda name: None)
    with pytest.raises(FetalkitError, match="run.slurm: there is no sbatch"):
        parallel.run(dict, [dict(a=1)], Cluster(slurm=SLURM))


def test_a_worker_that_differs_may_not_work(elsewhere):
    with cluster._expected() as here:
        assert here.problem(1) == ""
        assert "2 threads" in here.problem(2) and "--nthreads 1" in here.problem(2)
        assert "has the project in" in replace(here, root="/elsewhere").problem(1)
        assert "sees another folder" in replace(here, token=f"{here.token}-not").problem(1)
        assert "other code" in replace(here, code="0123456789abcdef").problem(1)
    assert not list((elsewhere / "work").glob(".seen-*"))


@pytest.mark.slow
def test_slurm_jobs_ask_for_what_the_parameters_say(elsewhere, monkeypatch):
    pytest.importorskip("dask_jobqueue", reason="the extra `cluster` is not installed")
    settings = Slurm(**SLURM).model_dump()
    with cluster.slurm_cluster(settings) as queue:
        script = queue.job_script()
    for line in ("-p long", "-A us", "--cpus-per-task=8", "-t 12:00:00", "--exclusive", "export OMP_NUM_THREADS=1"):
        assert line in script, script
    assert "--nthreads 1" in script and "--nworkers 8" in script


@pytest.fixture(scope="module")
def two_workers():
    """A scheduler with two workers of one thread, and a client of it."""
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    dask = pytest.importorskip("dask")
    with (
        # A job may lose one worker; each that takes the place of another has to start first.
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def place(two_workers, elsewhere):
    """The same as `fetalkit.utils.parallel` takes it; the workers look into the folder of the test."""
    from distributed import WorkerPlugin

    two_workers.register_plugin(type("Moved", (Elsewhere, WorkerPlugin), {})(elsewhere), name="elsewhere")
    place = Cluster(two_workers.scheduler.address)
    yield place
    cluster._client(place.address).close()
    cluster._client.cache_clear()


@pytest.mark.slow
def test_a_job_that_fails_or_kills_its_workers_stops_no_other(place):
    jobs = [dict(name="a"), dict(name="b", fails="too few"), dict(name="c", fails="killed"), dict(name="d")]
    made = parallel.attempt(named, jobs, place)
    assert [one.result and one.result[:3] for one in made] == ["a 1", None, None, "d 1"]
    assert made[1].error == "too few"
    assert "all workers that had this job were killed" in made[2].error and "\n" not in made[2].error
    assert str(os.getpid()) not in made[0].result


@pytest.mark.slow
def test_a_job_that_waited_beside_one_that_kills_its_worker_is_innocent(place, two_workers, monkeypatch):
    """Dask accuses both when the worker dies, and gives up at the first death here."""
    monkeypatch.setattr(two_workers.cluster.scheduler, "allowed_failures", 0)
    jobs = [dict(name="a", fails="killed"), *(dict(name=name) for name in "bcdef")]
    made = parallel.attempt(named, jobs, place)
    assert [one.result and one.result[0] for one in made] == [None, *"bcdef"]
    assert "all workers that had this job were killed" in made[0].error


@pytest.mark.slow
def test_a_worker_of_other_code_ends_the_work_in_one_line(place, monkeypatch):
    monkeypatch.setattr(cluster, "own_code", lambda: "0123456789abcdef")
    with pytest.raises(FetalkitError, match="runs other code") as raised:
        parallel.attempt(named, [dict(name="a")], place)
    assert "\n" not in str(raised.value)


def kill_whoever_works(client, sign, killed):
    """Once `sign` tells that work is half done, SIGKILL a worker that is at it."""
    pids = client.run(os.getpid)
    while not killed:
        busy = [address for address, keys in client.processing().items() if keys]
        if busy and sign():
            os.kill(pids[busy[0]], signal.SIGKILL)
            killed.append(pids[busy[0]])
        time.sleep(0.02)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.safetensors")) + sorted(folder.rglob("*.npz"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def worked(study, run, sign=None, client=None):
    """Generators, sets and runs of the study: files' digests and predictions; `sign` says when a worker is killed."""
    settings = study.params.model_copy(update={"run": study.params.run.model_copy(update=run)})
    killed = []
    if client:
        threading.Thread(target=kill_whoever_works, args=(client, sign, killed), daemon=True).start()
    trained = generator_training.train_all("phantom", settings)
    synthesis.draw_all("phantom", settings)
    outcomes = classification.train_all("phantom", settings)
    losses = {one.name: one.losses for one in trained}
    predictions = {one.run.name: (one.probabilities, one.error) for one in outcomes}
    return digests(paths.data("phantom")), losses, predictions, killed


@pytest.mark.slow
@pytest.mark.long
def test_with_a_worker_killed_in_mid_run_a_cluster_ends_with_the_same_bits(place, two_workers, elsewhere, monkeypatch):
    """Generators, sets and runs; the worker dies in a training, whose checkpoint another worker goes on from."""
    study = small_study.trainable()
    network = dict(
        channels=[8, 32],
        attention=[False, True],
        steps=230,
        batch_size=2,
        optimiser="adamw",
        guide_steps=0,
        snapshots=(),
    )
    diffusion = study.params.generators["diffusion"]
    training = diffusion.training.model_copy(update=network)
    diffusion = diffusion.model_copy(update={"training": training, "budget": None, "stopping": None})
    changes = {
        "generators": study.params.generators | {"diffusion": diffusion},
        "synthesis": study.params.synthesis.model_copy(update={"images_per_plane": 3}),
        "fidelity": study.params.fidelity.model_copy(update={"varied": "", "variant_images_per_plane": 2}),
    }
    study.params = study.params.model_copy(update=changes)
    alone = worked(study, {})
    for name in ("generators", "synthetic", "trainings"):
        (elsewhere / "data" / "phantom" / name).rename(elsewhere / f"alone-{name}")
    saved = paths.work("phantom", "generators")
    spread = worked(study, {"cluster": place.address}, lambda: any(saved.glob("*.checkpoint")), two_workers)
    assert spread[3] and spread[3][0] not in two_workers.run(os.getpid).values()  # it was killed, and replaced
    assert alone[0] == spread[0] and len(alone[0]) >= 5
    assert alone[1] == spread[1]
    assert alone[2].keys() == spread[2].keys() and len(alone[2]) == 3
    for name, (probabilities, error) in alone[2].items():
        assert not error and np.array_equal(probabilities, spread[2][name][0]), name


@pytest.mark.slow
def test_a_process_of_this_machine_that_is_killed_is_one_line():
    with pytest.raises(FetalkitError, match="a worker process was killed.*lower run.workers") as raised:
        parallel.attempt(named, [dict(name="a", fails="killed"), dict(name="b")], workers=2)
    assert "\n" not in str(raised.value)
