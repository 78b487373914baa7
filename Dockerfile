# Every image of Pismo: `--build-arg SERVICE=gateway|generation|billing|analytics|sandbox`. The sandbox's also holds the
# embedded stores, for the demo. Docker's classic builder and BuildKit both build it; `make images` builds all.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
# For `strip` alone, of which any version will do.
# hadolint ignore=DL3008
RUN apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
ARG UV_VERSION=0.13.9
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir "uv==${UV_VERSION}"
ENV UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON=python3 UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# First the packages that are locked for this service: they change rarely, and no source does anything to them.
COPY pyproject.toml uv.lock ./
COPY libs/contracts/pyproject.toml libs/contracts/
COPY libs/servicekit/pyproject.toml libs/servicekit/
COPY services/bot-gateway/pyproject.toml services/bot-gateway/
COPY services/generation/pyproject.toml services/generation/
COPY services/billing/pyproject.toml services/billing/
COPY services/analytics/pyproject.toml services/analytics/
COPY sandbox/pyproject.toml sandbox/
COPY stack/pyproject.toml stack/
ARG SERVICE
RUN set -- --package "pismo-${SERVICE}"; \
    if [ "${SERVICE}" = sandbox ]; then set -- "$@" --package pismo-stack; fi; \
    /opt/uv/bin/uv sync --quiet --frozen --no-dev --no-install-workspace "$@" \
    && find .venv -name '*.so' -exec strip --strip-unneeded {} +
# Then our own sources: those of this service, in the folders that the repository has them in, on Python's path. Every
# module is imported once: that proves that all it needs is here, and leaves the bytecode of just that.
COPY libs libs
COPY services services
COPY sandbox sandbox
COPY stack stack
RUN case "${SERVICE}" in \
      gateway) set -- libs/contracts libs/servicekit services/bot-gateway ;; \
      sandbox) set -- sandbox stack ;; \
      *) set -- libs/contracts libs/servicekit "services/${SERVICE}" ;; \
    esac; \
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && printf '/app/%s/src\n' "$@" > "${packages}/pismo.pth" \
    && .venv/bin/python -c 'import pkgutil, sys; \
         modules = pkgutil.walk_packages([f"{each}/src" for each in sys.argv[1:]]); \
         [__import__(module.name) for module in modules if not module.name.endswith("__main__")]' "$@" \
    && mkdir /sources && cp -r --parents --preserve=timestamps "$@" /sources

FROM ${PYTHON_IMAGE}
# The root of the file system may be read-only: only /tmp is written to. Postgres wants its user to have a name.
RUN useradd --uid 10001 --user-group --no-log-init --no-create-home --home-dir /tmp --shell /usr/sbin/nologin pismo
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY --from=build /sources ./
USER 10001:10001
ARG SERVICE
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE
LABEL org.opencontainers.image.title="pismo-${SERVICE}" \
      org.opencontainers.image.description="Pismo, a Telegram bot that writes job cover letters: ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
ENV SERVICE=${SERVICE}
ENTRYPOINT ["/bin/sh", "-c", "[ $# -gt 0 ] || [ $SERVICE = sandbox ] || set -- serve; exec python -m $SERVICE \"$@\"", "pismo"]
