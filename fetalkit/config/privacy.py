"""Whose images may be shown: what of a study git may version, and what pages may show.

A cohort is public where its class says so, as those of published data sets and the simulated one do, or where its section says
``public: true``. All others are private: nothing of them gets into a folder that git versions. A study between cohorts is as
private as any of them. What is not known to be public is private.
"""

from pathlib import Path

from fetalkit.config import params
from fetalkit.config.sections import cohorts_of, transfer_sections
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError


def public(study: str) -> bool:
    """Whether a study, a cohort or one between cohorts, may be published where git versions it.

    Raises
    ------
    FetalkitError
        When the section of one of its cohorts has a mistake.
    """
    if study in params.names():
        return _is_public(study)
    section = transfer_sections(paths.PARAMS).get(study)
    return bool(section) and all(_is_public(cohort) for cohort in cohorts_of(section))


def _is_public(cohort: str) -> bool:
    settings = params.load_cohort(cohort)
    if settings.public is not None:
        return settings.public
    kind = settings.kind or cohort
    return bool(getattr(params.resolve(params.COHORTS.get(kind, kind)), "public", False))


def published(study: str, *parts: str) -> Path:
    """Path of a published page or table: below ``reports/``, or where git ignores it below ``reports-private/``."""
    return (paths.reports if public(study) else paths.private_reports)(study, *parts)


def shows_images(study: str) -> bool:
    """Whether pages of a study show pictures of the cohorts' images, or drawn by generators that have seen them.

    Of a private cohort only where its section says ``report: {show_images: true}``; of a public one unless it says ``false``.
    """
    section = {} if study in params.names() else transfer_sections(paths.PARAMS).get(study, {})
    cohorts = [study] if study in params.names() else cohorts_of(section)
    try:
        wishes = {cohort: params.load(cohort).report.show_images for cohort in cohorts}
    except FetalkitError:
        return False
    return bool(wishes) and all(public(cohort) if wish is None else wish for cohort, wish in wishes.items())
