# syntax=docker/dockerfile:1
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements/build.lock requirements/runtime.lock requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --quiet --no-cache-dir --require-hashes -r requirements/build.lock
# Before the source is copied: a change of code does not download the dependencies again.
RUN python -m venv --without-pip /opt/homeostat \
    && /opt/build/bin/uv pip install --quiet --no-cache --compile-bytecode --python /opt/homeostat/bin/python \
        --require-hashes -r requirements/runtime.lock
COPY . .
RUN /opt/build/bin/hatchling build -t wheel \
    && /opt/build/bin/uv pip install --quiet --no-cache --compile-bytecode --python /opt/homeostat/bin/python \
        --no-deps dist/*.whl

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Homeostat" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/homeostat --create-home homeostat
COPY --from=build /opt/homeostat /opt/homeostat
ENV PATH=/opt/homeostat/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOMEOSTAT_DATA_DIR=/var/lib/homeostat \
    HOMEOSTAT_API__HOST=0.0.0.0 \
    HOMEOSTAT_RECEIVERS__HOST=0.0.0.0
USER homeostat
WORKDIR /var/lib/homeostat
VOLUME /var/lib/homeostat
EXPOSE 4317 4318 8790
HEALTHCHECK --interval=10s --timeout=5s --retries=6 --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8790/healthz', timeout=4)"]
ENTRYPOINT ["homeostat"]
CMD ["up"]
