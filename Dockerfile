# One image for every stage; the command chooses which.
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY core ./core
COPY gateway ./gateway
COPY ingest ./ingest
COPY anomaly ./anomaly
COPY maintenance ./maintenance
COPY api ./api
COPY firmware_sim ./firmware_sim
COPY bench ./bench
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
 && groupadd --system --gid 10001 forecare \
 && useradd --system --uid 10001 --gid 10001 --home-dir /state forecare \
 && mkdir -p /state /broker /broker-data && chown forecare:forecare /state /broker /broker-data

USER forecare
ENTRYPOINT ["forecare"]
CMD ["--help"]
