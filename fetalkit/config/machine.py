"""Where things run: the section ``run`` of ``params.yaml``, a change of which computes nothing anew."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fetalkit.config.sections import Section


class Slurm(Section):
    """A Dask cluster of SLURM jobs; `fetalkit.utils.cluster` starts it.

    Attributes
    ----------
    queue, account
        Partition and account of the jobs; what the site takes by default where they are left out.
    cores, memory, walltime
        Of one job: cores, each of which works on a run; memory, such as ``64GB``; time, such as ``12:00:00``.
    jobs
        How many jobs.
    directives
        Further lines ``#SBATCH``, such as ``--gres=gpu:1``.
    """

    queue: str | None = None
    account: str | None = None
    cores: Annotated[int, Field(ge=1, le=1024)]
    memory: Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$")]
    walltime: Annotated[str, Field(pattern=r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$")]
    jobs: Annotated[int, Field(ge=1, le=10_000)]
    directives: tuple[str, ...] = ()


class Machine(Section):
    """Where things run; has no influence on what is computed apart from rounding.

    Attributes
    ----------
    device, precision, workers
        As for the functions of these names in `fetalkit.utils.devices`.
    processes
        How many share the training of one generator, each with a device of its own.
    cluster
        Address of a Dask scheduler whose workers do the work, ``tcp://machine:8786``.
    slurm
        Or a cluster of SLURM jobs.
    """

    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "float32", "bfloat16"]
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)]
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    cluster: Annotated[str, Field(pattern=r"^(tcp|tls)://[^\s/]+:\d+$")] | None = None
    slurm: Slurm | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.cluster and self.slurm:
            raise ValueError("names a cluster and slurm; keep one, since slurm starts a cluster of its own")
        if self.processes > 1 and (self.cluster or self.slurm):
            raise ValueError(
                f"processes = {self.processes}: a training is shared on one machine; leave out the cluster"
            )
        return self
