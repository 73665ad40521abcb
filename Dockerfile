# One image for the gateway, the worker, the payments and the migrations: the command says which.
FROM python:3.12-slim AS environment
RUN python -m venv /environment
COPY requirements.lock /
RUN /environment/bin/pip install --quiet --quiet --disable-pip-version-check --no-cache-dir \
        --require-hashes --requirement /requirements.lock \
    && /environment/bin/pip uninstall --quiet --yes pip

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin holdfast
COPY --from=environment /environment /environment
WORKDIR /holdfast
COPY alembic.ini ./
COPY deploy deploy
COPY shared shared
COPY migrations migrations
COPY worker worker
COPY payments payments
COPY gateway gateway
ENV PATH=/environment/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOLDFAST_HOST=0.0.0.0 \
    HOLDFAST_WORKER_HOST=0.0.0.0 \
    HOLDFAST_PAYMENTS_HOST=0.0.0.0
USER holdfast
EXPOSE 8000 8001 8100
CMD ["python", "-m", "gateway"]
