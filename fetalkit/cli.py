"""The command line, ``fetalkit`` or ``python -m fetalkit``: every error is one line on stderr and exit code 1.

What a command needs is imported when it runs: `fetalkit run`, which every stage of the pipeline calls, waits for no torch.
"""

import io
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from fetalkit.utils.errors import FetalkitError, for_users

# Searches for good settings, which have reports of their own; and what `fetalkit list` knows.
Search = Literal["training", "generator"]
Kind = Literal["arms", "generators", "classifiers", "cohorts", "metrics"]


class _Commands(TyperGroup):
    """Commands whose errors are for the user."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print a line instead of a trace where the user can act on the error."""
        try:
            return super().invoke(ctx)
        except (FetalkitError, OSError, MemoryError) as error:
            if not (lines := for_users(error)):
                raise
            for line in lines:
                print(f"fetalkit: {line}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("fetalkit: interrupted; run again to go on from the last checkpoint", file=sys.stderr)
            raise typer.Exit(128 + signal.SIGINT) from None


NO_WINDOWS = "Windows is not supported; install it in WSL, the Linux that comes with Windows (docs/install.md)"
app = typer.Typer(
    cls=_Commands,
    help="Does pre-training on diffusion-generated fetal ultrasound planes make classifiers more accurate?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Study = Annotated[str, typer.Argument(metavar="COHORT", help="A section of params.yaml, or a study between cohorts.")]


@contextmanager
def _alone(study: str, stage: str) -> Iterator[None]:
    """Refuse to run a stage that is no notebook beside another process that works on the study."""
    from fetalkit.runner import pipeline
    from fetalkit.runner.lock import study_lock

    pipeline.check(study)
    with study_lock(study, stage):
        yield


@app.command()
def run(
    notebook: Annotated[str, typer.Argument(help="Stem of a file in notebooks/, e.g. 01_cohort.")],
    cohort: Annotated[str, typer.Option(help="The notebook's parameter `cohort`.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Another parameter; the value is JSON or text."),
    ] = None,
) -> None:
    """Run one notebook; its executed copy is then in data/COHORT/executed/."""
    from fetalkit.runner import execute, parameters

    execute.run(notebook, cohort, parameters.given(parameter or []))


@app.command()
def repro(
    cohort: Annotated[str | None, typer.Argument(metavar="COHORT", help="As in dvc.yaml by default.")] = None,
    stages: Annotated[list[str] | None, typer.Argument(help="These stages and what they need; else all.")] = None,
) -> None:
    """Run what is not up to date of a study's pipeline; the report is then in data/COHORT/pages/."""
    from fetalkit.runner import pipeline, reproduce

    study = cohort or pipeline.default()
    page = reproduce.repro(study, stages or [])
    if page is not None:
        print(f"The report is at {page}\nTo publish it: fetalkit publish {study}")
        _compare(study)


def _compare(study: str) -> None:
    """Say how the run compares with what is published; a machine that rounds differently is no error."""
    from fetalkit.reporting import verify

    if verify.published(study):
        verdict = verify.verify(study)
        print("", *verdict.lines, sep="\n")
        if not verdict.holds:
            print(f"This is no error of the run. What it means: docs/reports.md; again: fetalkit verify {study}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the cohort, e.g. ward.")],
    folder: Annotated[Path, typer.Argument(help="Of the images, or a zip or tar file of it.")],
    table: Annotated[Path | None, typer.Argument(help="CSV file that says what the images are.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Append the section to params.yaml.")] = False,
) -> None:
    """Look at own images and their table, and propose a section of params.yaml; nothing is run."""
    from fetalkit.cohorts import proposal

    made = proposal.propose(name, folder, table)
    print(made.yaml)
    if made.table is not None:
        print(f"{len(made.table)} images of {made.table.patient.nunique()} patients\n\n{proposal.counts(made.table)}\n")
    for title, lines in (("To know", made.remarks), ("To look at", made.wrong)):
        print(*[f"{title}:"] * bool(lines), *(f"- {line}" for line in lines), sep="\n")
    if write:
        proposal.write(made)
        print(f"\nparams.yaml has it now. Next: fetalkit repro {name}")


@app.command()
def fetch(cohort: Study) -> None:
    """Make sure that the cohort's source files are on this machine, and note which they are."""
    from fetalkit.cohorts import source

    with _alone(cohort, "fetch"):
        source.fetch(cohort)


@app.command()
def report(cohort: Study) -> None:
    """Build the pages of the report in data/COHORT/pages/ (the pipeline's last stage)."""
    from fetalkit.reporting.build import build

    with _alone(cohort, "report"):
        print(f"The report is at {build(cohort)}")


@app.command()
def publish(
    cohort: Study,
    search: Annotated[Search | None, typer.Option(help="Publish this search instead of the study.")] = None,
    zipped: Annotated[bool, typer.Option("--zip", help="Make one file of it as well, to be sent: COHORT.zip.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Make a paper of its front page as well: COHORT.pdf.")] = False,
) -> None:
    """Put a report into reports/COHORT/, which git versions; of a private cohort into reports-private/COHORT/."""
    from fetalkit.config import privacy
    from fetalkit.reporting.publish import publish, published_alone, to_share
    from fetalkit.runner import lock, pipeline
    from fetalkit.utils import paths

    page = published_alone(cohort) if zipped or pdf else None
    if search is not None:
        pipeline.check(cohort)
        page = publish(cohort, search)
    elif page is None:
        pipeline.file(cohort)  # There must be such a study.
        with lock.pipeline_lock(cohort):
            page = publish(cohort)
            pipeline.keep_published_lock(cohort)
    print(f"The report is at {page}")
    for path in to_share(cohort, page, zipped, pdf):
        print(f"To share: {path}")
    if not privacy.public(cohort):
        print("The cohort is not public: git ignores that folder, patients have pseudonyms (docs/privacy.md)")
        if (earlier := paths.reports(cohort)).joinpath("index.html").exists():
            print(f"{earlier} holds an earlier report of it, which git versions: git rm -r --cached it, then delete it")


@app.command()
def verify(
    cohort: Study,
    tables: Annotated[bool, typer.Option("--tables", help="Let the exit code tell of the tables alone.")] = False,
) -> None:
    """Compare the latest run with the published tables; exit code 1 where one is out of tolerance or a conclusion changes."""
    from fetalkit.reporting import verify
    from fetalkit.runner import pipeline

    pipeline.check(cohort)
    verdict = verify.verify(cohort)
    print(*verdict.lines, sep="\n")
    if not (verdict.tables_hold if tables else verdict.holds):
        raise typer.Exit(1)


@app.command()
def export(
    cohort: Study,
    name: Annotated[str, typer.Argument(help="Of a generator, e.g. diffusion-kall-seed0, or of a classifier's run.")],
    folder: Annotated[Path, typer.Argument(help="New or empty.")],
) -> None:
    """Hand a trained generator and its synthetic images, or a trained classifier, to others."""
    from fetalkit.reporting.export import export

    export(cohort, name, folder)


@app.command()
def release(
    cohort: Study,
    name: Annotated[str, typer.Argument(help="Of a generator, or its folder, called diffusion-kall-seed0 and so on.")],
    folder: Annotated[Path, typer.Argument(help="New or empty; its name is that of the released generator.")],
    about: Annotated[list[str] | None, typer.Option(metavar="LABEL=VALUE", help="For its card: Device=... .")] = None,
) -> None:
    """Measure a trained generator on validation patients, and write it in half precision, with its card."""
    from fetalkit.reporting import release as releasing
    from fetalkit.runner.parameters import given

    releasing.release(cohort, name, folder, given(about or [], "--about"))


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Folder of an exported classifier, or COHORT/RUN of this checkout.")],
    folder: Annotated[Path, typer.Argument(help="With images, also in folders within it.")],
    out: Annotated[Path, typer.Option(help="The table to write.")] = Path("predictions.csv"),
    frame: Annotated[str, typer.Option(help="Of files with several: first, middle or a number from 1.")] = "",
) -> None:
    """Say of every image which plane it shows, and whether it is unlike those that the classifier was trained on."""
    from fetalkit.reporting.predictions import predict

    print(predict(model, folder, out, frame))


@app.command()
def draw(
    generator: Annotated[str, typer.Argument(help="Folder, COHORT/NAME of this checkout, or a name below models/.")],
    plane: Annotated[str, typer.Option(help="What the images are to show.")],
    n: Annotated[int, typer.Option("-n", help="Number of images.")] = 16,
    seed: Annotated[int, typer.Option(help="Another seed, other images.")] = 0,
    guidance: Annotated[float | None, typer.Option(help="How much the plane counts.")] = None,
    steps: Annotated[int | None, typer.Option(help="Of the sampler.")] = None,
    phantom_sigma: Annotated[float | None, typer.Option(help="Noise level that phantoms are drawn from.")] = None,
    out: Annotated[Path | None, typer.Option(help="New or empty folder; one below drawn/ by default.")] = None,
) -> None:
    """Draw images of a plane with a trained generator; what is not given is as in its study."""
    from fetalkit.reporting.drawings import draw

    options = {"guidance": guidance, "steps": steps, "phantom_sigma": phantom_sigma}
    folder = draw(generator, plane, n, seed, options, out)
    print(f"{n} images and sheet.png are in {folder}")


@app.command()
def readme() -> None:
    """Bring the tables of README.md, and reports/index.html, up to date with what is published."""
    from fetalkit.reporting import readme

    readme.update()


@app.command("list")
def list_(kind: Annotated[Kind, typer.Argument(help="Of what.")]) -> None:
    """Say what there is: name and one line."""
    from fetalkit.config import listing

    rows = listing.rows(kind)
    width = max((len(name) for name, _ in rows), default=0)
    for name, line in rows:
        print(f"{name:<{width}}  {line}".rstrip())


@app.command()
def pipelines() -> None:
    """Bring the lists of code in dvc.yaml up to date, and the pipelines in reports/ with it."""
    from fetalkit.runner import pipeline

    for path in pipeline.update():
        print(f"{path}: rewritten")


def _stop(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (those of the process by default) and return the exit code."""
    if sys.platform == "win32":
        print(f"fetalkit: {NO_WINDOWS}", file=sys.stderr)
        return 1
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # A terminal that lacks a letter is no reason to end.
    # An exception instead of sudden death: no kernel may be left behind, and no file half-way.
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # not all have both
    earlier: dict[int, Callable | int | None] = {number: signal.signal(number, _stop) for number in numbers}
    try:
        app(arguments, prog_name="fetalkit")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    return 0
