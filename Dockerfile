# The image of a node: gateway and requester, or compute. Built from the wheel:
#
#     docker build -t bacalhau-nats .
#
# Run it as docker-compose.yml does. The NATS server is another container, though one is in here too.

ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY bacalhau_nats bacalhau_nats
COPY cli cli
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM ${PYTHON_IMAGE}
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir /dist/*.whl && rm -r /dist \
 && echo 'bacalhau:x:1000:1000::/data:/bin/sh' >> /etc/passwd \
 && mkdir /data && chown 1000:1000 /data
USER 1000:1000
ENV HOME=/data BACALHAU_DIR=/data
VOLUME /data
EXPOSE 1234
STOPSIGNAL SIGTERM
ENTRYPOINT ["bacalhau"]
CMD ["serve", "--orchestrator", "--compute"]
