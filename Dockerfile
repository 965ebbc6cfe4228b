# docker build --tag fetalkit .
# docker run --rm --volume "$PWD/out:/srv/fetalkit/data" fetalkit    (the report is then in out/phantom/pages)
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home study \
    && python -m venv /opt/venv && chown -R study /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1

USER study
WORKDIR /srv/fetalkit

# Before the code, which changes more often.
COPY --chown=study requirements.lock .
RUN pip install --no-cache-dir --requirement requirements.lock

COPY --chown=study . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . && mkdir -p data work

CMD ["fetalkit", "repro", "phantom"]
