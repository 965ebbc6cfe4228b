"""What there is to choose from: arms, generators, classifiers, cohorts and metrics, each with one line."""

from fetalkit.config import params
from fetalkit.utils.errors import FetalkitError

KINDS = ("arms", "generators", "classifiers", "cohorts", "metrics")


def rows(kind: str, cohort: str = "phantom") -> list[tuple[str, str]]:
    """Name and one line of all that a cohort's study knows of a kind; its own ones, as ``params.yaml`` defines them, too.

    Parameters
    ----------
    kind
        One of `KINDS`.
    cohort
        Section of ``params.yaml``.

    Raises
    ------
    FetalkitError
        When there is no such kind or cohort, or ``params.yaml`` is not as it should be.
    """
    if kind not in KINDS:
        raise FetalkitError(f"there are no {kind} to list; choose one of: {', '.join(KINDS)}")
    if kind == "cohorts":
        return [(name, params.load_cohort(name).kind or name) for name in params.names()]
    settings = params.load(cohort)
    if kind == "arms":
        marks = {name: " (control)" * arm.control + " (primary)" * arm.primary for name, arm in settings.arms.items()}
        return [(name, arm.title + marks[name]) for name, arm in settings.arms.items()]
    if kind == "generators":
        return [(name, f"{of.title} [{of.class_path}]") for name, of in settings.generators.items()]
    if kind == "classifiers":
        return [(name, of.model + ", pretrained" * of.pretrained) for name, of in settings.classify.classifiers.items()]
    return list(params.resolve("fetalkit.metrics.classification:titles")(settings.metrics).items())
