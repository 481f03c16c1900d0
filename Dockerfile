# syntax=docker/dockerfile:1

# The front end, built once on the builder's own architecture.
FROM --platform=$BUILDPLATFORM node:20-slim AS frontend
WORKDIR /app/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY frontend ./
# The build reads the preset drawings, which lie beside the Python code that also draws them.
COPY generation/presets /app/generation/presets
RUN npm run build

# The Python packages, in an environment that is copied as it is.
FROM python:3.11-slim AS packages
RUN python -m venv /venv
COPY requirements.txt /
RUN --mount=type=cache,target=/root/.cache/pip \
    /venv/bin/pip install --no-deps --require-hashes -r /requirements.txt

FROM python:3.11-slim
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PENCIL_ENVIRONMENT=production \
    PENCIL_DATA_DIR=/data \
    PENCIL_PORT=8100
RUN useradd --system --uid 10001 --no-create-home llamasketch \
    && install -d -o llamasketch -g llamasketch -m 700 /data
COPY --from=packages /venv /venv
WORKDIR /app
COPY manage.py ./
COPY llamasketch llamasketch
COPY usage usage
COPY generation generation
COPY workers workers
COPY --from=frontend /app/frontend/dist frontend/dist
# Local settings: production's secrets are not there while the image is built.
RUN PENCIL_ENVIRONMENT=local PENCIL_DATA_DIR=/tmp/build python manage.py collectstatic --no-input \
    && rm -rf /tmp/build
USER llamasketch
VOLUME /data
EXPOSE 8100
# The web server; docker-compose.yml names the other processes' commands.
CMD ["sh", "-c", "exec daphne -v 0 -b 127.0.0.1 -p \"$PENCIL_PORT\" llamasketch.asgi:application"]
