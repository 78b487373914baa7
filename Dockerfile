# One file for every image: `--build-arg SERVICE=gateway|generation|billing|analytics|sandbox`. The sandbox's image also
# holds the embedded stores, for the demo.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ARG SERVICE
ARG UV_VERSION=0.13.9
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir uv==${UV_VERSION}
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_PYTHON=python3
WORKDIR /app
# What changes rarely first: the locked packages of this service alone, then the sources.
COPY pyproject.toml uv.lock ./
COPY libs/contracts/pyproject.toml libs/contracts/
COPY libs/servicekit/pyproject.toml libs/servicekit/
COPY services/bot-gateway/pyproject.toml services/bot-gateway/
COPY services/generation/pyproject.toml services/generation/
COPY services/billing/pyproject.toml services/billing/
COPY services/analytics/pyproject.toml services/analytics/
COPY sandbox/pyproject.toml sandbox/
COPY stack/pyproject.toml stack/
RUN packages="--package pismo-${SERVICE}"; \
    if [ "${SERVICE}" = sandbox ]; then packages="$packages --package pismo-stack"; fi; \
    /opt/uv/bin/uv sync --frozen --no-dev --no-install-workspace $packages
COPY libs libs
COPY services services
COPY sandbox sandbox
COPY stack stack
RUN packages="--package pismo-${SERVICE}"; keep="${SERVICE}"; \
    if [ "${SERVICE}" = sandbox ]; then packages="$packages --package pismo-stack"; keep="sandbox stack"; fi; \
    /opt/uv/bin/uv sync --frozen --no-dev $packages; \
    if [ "${SERVICE}" = gateway ]; then keep=bot-gateway; fi; \
    mkdir /kept && cp -r libs /kept/ && for each in $keep; do \
      if [ -d "services/$each" ]; then mkdir -p /kept/services && cp -r "services/$each" /kept/services/; \
      else cp -r "$each" /kept/; fi; done

FROM ${PYTHON_IMAGE}
ARG SERVICE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pismo-${SERVICE}" \
      org.opencontainers.image.description="Pismo, a Telegram bot that writes job cover letters: ${SERVICE}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SERVICE=${SERVICE}
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY --from=build /kept ./
USER 10001:10001
ENTRYPOINT ["/bin/sh", "-c", "exec python -m \"$SERVICE\" \"$@\"", "pismo"]
CMD ["serve"]
