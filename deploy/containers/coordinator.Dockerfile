# The coordinator: a clone with its environment, since Flower ships the app bundle from the clone.
#
#   docker build -f deploy/containers/coordinator.Dockerfile -t fedcredit-coordinator .
FROM python:3.11-slim-bookworm

WORKDIR /opt/fedcredit-coordinator
COPY . .
RUN python3 -m venv .venv \
 && .venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --constraint deploy/constraints.txt \
    --editable ".[flower]" \
 && useradd --uid 20003 --user-group --no-create-home fedcredit-coordinator

ENV PYTHONDONTWRITEBYTECODE=1 FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 \
    FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1
USER 20003
EXPOSE 9443
CMD [".venv/bin/python", "-m", "server", "serve", "/var/lib/fedcredit-coordinator/COORDINATOR.yaml"]
