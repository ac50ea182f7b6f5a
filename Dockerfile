# The server of docs/serving.md on the CPU:
#   docker build -t pose-tracker . && docker run --rm -p 127.0.0.1:8000:8000 pose-tracker
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml requirements.txt README.md LICENSE ./
COPY tracker tracker
COPY weights weights
# Without torch, which checkpoints and training need alone, without windows and without CUDA.
RUN grep -vE '^(torch|opencv-python|onnxruntime)' requirements.txt > needed.txt \
    && python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['serve'], sep='\n')" >> needed.txt \
    && python -m venv /opt/tracker \
    && /opt/tracker/bin/pip install --no-cache-dir -r needed.txt 'opencv-python-headless>=4.10,<6' 'onnxruntime>=1.20,<2' \
    && /opt/tracker/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
RUN useradd --create-home tracker
COPY --from=build /opt/tracker /opt/tracker
USER tracker
WORKDIR /home/tracker
EXPOSE 8000
HEALTHCHECK --start-period=30s CMD ["/opt/tracker/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=5)"]
ENTRYPOINT ["/opt/tracker/bin/pose-tracker", "serve", "--host", "0.0.0.0"]
