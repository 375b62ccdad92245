# python -m build && docker build -t poseact . && docker run -p 127.0.0.1:8000:8000 -e POSEACT_TOKEN=... poseact
FROM python:3.12-slim
COPY dist/*.whl constraints.txt /tmp/
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$(ls /tmp/poseact-*.whl)[web,onnx]" && rm /tmp/*.whl /tmp/constraints.txt \
    && useradd --create-home poseact && mkdir /data && chown poseact /data
USER poseact
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz')"
CMD ["poseact", "web", "--host", "0.0.0.0", "--folder", "/data/web"]
