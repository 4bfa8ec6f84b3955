# The image of a node: gateway and requester, or compute. Built from the wheel:
#
#     docker build -t bacalhau-nats .
#
# Run it as docker-compose.yml does. The NATS server is another container, though one is in here too.

FROM python:3.12-slim AS wheel
WORKDIR /src
RUN pip install --no-cache-dir build
COPY pyproject.toml README.md LICENSE ./
COPY bacalhau_nats bacalhau_nats
COPY cli cli
RUN python -m build --wheel --outdir /dist

FROM python:3.12-slim
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir /dist/*.whl && rm -r /dist \
 && useradd --create-home --uid 1000 bacalhau \
 && install --directory --owner bacalhau /data
USER bacalhau
ENV BACALHAU_DIR=/data
VOLUME /data
EXPOSE 1234
STOPSIGNAL SIGTERM
ENTRYPOINT ["bacalhau"]
CMD ["serve", "--orchestrator", "--compute"]
