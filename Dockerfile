# The hub in a container: no shell script, no root, no state outside /var/lib/crossplant.
# Build: docker build --tag crossplant .        Run: docker-compose.yml, docs/operations.md
FROM docker.io/library/python:3.13.9-slim-bookworm AS base

FROM base AS build
WORKDIR /src
# Packages first, from the hash-locked lists: this layer changes only when the locks do.
COPY deploy/container/build.lock deploy/container/requirements.lock ./locks/
RUN python -m venv /build \
 && python -m venv --without-pip /opt/crossplant \
 && /build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
      --only-binary :all: --requirement locks/build.lock \
 && /build/bin/pip --python /opt/crossplant/bin/python install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: --requirement locks/requirements.lock
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY adapters ./adapters
COPY canonical ./canonical
COPY config ./config
COPY deadletter ./deadletter
COPY gateway ./gateway
COPY router ./router
COPY simulator ./simulator
RUN /build/bin/pip wheel --no-build-isolation --no-deps --no-index --wheel-dir dist . \
 && /build/bin/pip --python /opt/crossplant/bin/python install --no-deps --no-index dist/*.whl

FROM base AS hub
LABEL org.opencontainers.image.title="Crossplant" \
      org.opencontainers.image.description="Integration middleware for manufacturers with several plants" \
      org.opencontainers.image.licenses="Apache-2.0"
# Numbers, not names: an orchestrator that forbids root can then see that this is none.
RUN groupadd --gid 10001 crossplant \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin crossplant \
 && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/crossplant \
 && install --directory /etc/crossplant
COPY --from=build /opt/crossplant /opt/crossplant
ENV PATH=/opt/crossplant/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CROSSPLANT_DATA=/var/lib/crossplant \
    CROSSPLANT_LOG_FORMAT=json
RUN ["crossplant", "--version"]
USER 10001:10001
WORKDIR /var/lib/crossplant
VOLUME ["/var/lib/crossplant"]
EXPOSE 8080
# SIGTERM drains: sources stop, routes deliver what is there, the journal closes. Give it 60 s before SIGKILL;
# what is left then goes on at the next start.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
ENTRYPOINT ["crossplant"]
CMD ["run", "--config", "/etc/crossplant"]
