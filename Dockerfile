# syntax=docker/dockerfile:1
# Two stages: the first has pip and the hashes, the second only what runs.
# What we install is pinned by hash. The base image is not: pin it by digest where you build, as in
#   --build-arg PYTHON=python:3.11-slim@sha256:…
ARG PYTHON=python:3.11-slim
FROM ${PYTHON} AS build
WORKDIR /app
COPY requirements/build.lock requirements/run.lock requirements/
RUN python3 -m venv /opt/spangate
RUN /opt/spangate/bin/python -m pip install --no-cache-dir --no-deps --require-hashes -r requirements/build.lock -r requirements/run.lock
COPY pyproject.toml README.md ./
COPY gateway gateway
RUN /opt/spangate/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${PYTHON}
COPY --from=build /opt/spangate /opt/spangate
WORKDIR /srv/spangate
COPY policies policies
COPY deploy/container.yaml config.yaml
RUN useradd --uid 10001 --no-create-home --home-dir /srv/spangate --shell /usr/sbin/nologin spangate
RUN mkdir data && chown spangate data
USER spangate
VOLUME /srv/spangate/data
EXPOSE 4000 4001 13133
HEALTHCHECK --interval=10s --timeout=3s CMD ["/opt/spangate/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:13133/', timeout=2)"]
ENTRYPOINT ["/opt/spangate/bin/spangate"]
CMD ["run", "--config", "config.yaml"]
