# A small image that serves as a user without rights:
#   docker build -t digitmlp .
#   docker run --rm -p 127.0.0.1:8000:8000 digitmlp
# With a model of your own:
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/runs/fast:/model:ro" digitmlp --model /model
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /digitmlp \
    && /digitmlp/bin/pip install --no-cache-dir --constraint constraints.txt ".[serve]"

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin digitmlp
COPY --from=build /digitmlp /digitmlp
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["/digitmlp/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz')"]
ENTRYPOINT ["/digitmlp/bin/digitmlp", "serve", "--host", "0.0.0.0", "--port", "8000"]
