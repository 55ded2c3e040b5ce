# One image for every process: `serve` by default, and `relay`, `worker`, `migrate` and the
# operator commands by name.
FROM python:3.13.9-slim-bookworm AS packages
COPY requirements-production.lock /
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
      --no-compile --only-binary :all: --require-hashes --no-deps -r /requirements-production.lock

FROM python:3.13.9-slim-bookworm
RUN useradd --system --home-dir /srv --shell /usr/sbin/nologin instainstru \
 && install -d -o instainstru -g instainstru /srv/audit
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv
COPY app app
COPY realtime realtime
COPY jobs jobs
COPY sql sql
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    LOG_FORMAT=json AUDIT_LOG=/srv/audit/audit.jsonl
USER instainstru
EXPOSE 8000
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve", "--host", "0.0.0.0"]
