# Both programs of an institution, from the node kit alone: build in the kit's folder, without a network.
#
#   docker build --network none -f institution.Dockerfile -t fedcredit-institution dist/kit
FROM python:3.11-slim-bookworm

COPY . /kit
RUN groupadd --gid 20000 fedcredit-relay \
 && useradd --uid 20001 --user-group --groups fedcredit-relay --no-create-home fedcredit-custodian \
 && useradd --uid 20002 --user-group --groups fedcredit-relay --no-create-home fedcredit-node \
 && /kit/install.sh \
 && rm -rf /kit

ENV PYTHONDONTWRITEBYTECODE=1 FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 \
    FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1
USER 20001
WORKDIR /var/lib/fedcredit
CMD ["/opt/fedcredit/custodian/bin/fedcredit", "custodian", "serve", "/var/lib/fedcredit/SITE.yaml", "--log-format", "json"]
