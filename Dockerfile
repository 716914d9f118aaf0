# What the mixing kernels are compiled for, when the image is built. "generic" runs everywhere; x86-64-v3 mixes twice as
# fast on any x86 server of the last ten years, which is worth little next to the codec.
ARG KERNEL_CPU=generic

FROM debian:12-slim AS build
ARG KERNEL_CPU
RUN apt-get update && apt-get install -y --no-install-recommends \
        cmake g++ libopus-dev libssl-dev libwebrtc-audio-processing-dev ninja-build pkg-config python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/mediaserver
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY native native
COPY mediaserver mediaserver
COPY roomservice roomservice
COPY web web
# The wheel first, from the sources alone; what runs is what anybody can install.
RUN /opt/mediaserver/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && /opt/mediaserver/bin/pip install --no-cache-dir /wheels/*.whl
# What the room service needs for each of its databases and for Redis.
FROM build AS build-roomservice
RUN wheel=$(echo /wheels/*.whl) \
    && /opt/mediaserver/bin/pip install --no-cache-dir "$wheel[postgresql,mysql,redis]" \
    && /opt/mediaserver/bin/pip uninstall -y pip setuptools

FROM debian:12-slim AS roomservice
RUN apt-get update && apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10002 --no-create-home roomservice \
    && install -d -o roomservice -m 700 /var/lib/roomservice
COPY --from=build-roomservice /opt/mediaserver /opt/mediaserver
USER roomservice
ENV PATH=/opt/mediaserver/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ROOMSERVICE_HOST=0.0.0.0 \
    ROOMSERVICE_PORT=8080 \
    ROOMSERVICE_STORAGE=sqlite:////var/lib/roomservice/rooms.db
EXPOSE 8080/tcp
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", \
    "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"ROOMSERVICE_PORT\"]}/healthz', timeout=2)"]
ENTRYPOINT ["roomservice"]
CMD ["serve"]

FROM build AS build-mediaserver
ARG KERNEL_CPU
RUN /opt/mediaserver/bin/pip uninstall -y pip setuptools
# The kernels, so that a container starts without a compiler's delay. The same three settings must hold when it runs, and
# the same path: -P has those that were installed compiled, not the sources here.
RUN NUMBA_CACHE_DIR=/var/cache/mediaserver NUMBA_CPU_NAME=$KERNEL_CPU NUMBA_CPU_FEATURES= \
        /opt/mediaserver/bin/python -P -c "import mediaserver.kernels"

# The last target is what `docker build` makes.
FROM debian:12-slim AS mediaserver
ARG KERNEL_CPU
RUN apt-get update && apt-get install -y --no-install-recommends libopus0 libssl3 libwebrtc-audio-processing1 python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home mediaserver
COPY --from=build-mediaserver /opt/mediaserver /opt/mediaserver
# numba takes no cache from a directory that it cannot write to.
COPY --from=build-mediaserver --chown=mediaserver /var/cache/mediaserver /var/cache/mediaserver
# Rooms and events that survive the container, when a volume is mounted here.
RUN install -d -o mediaserver -m 700 /var/lib/mediaserver
USER mediaserver
# --production: in a container every address is loopback or reachable, so a forgotten key must be an error.
ENV PATH=/opt/mediaserver/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MEDIASERVER_PRODUCTION=1 \
    MEDIASERVER_HOST=0.0.0.0 \
    MEDIASERVER_PORT=8090 \
    MEDIASERVER_MEDIA_PORT=20000 \
    MEDIASERVER_STATE=/var/lib/mediaserver/state.db \
    NUMBA_CACHE_DIR=/var/cache/mediaserver \
    NUMBA_CPU_NAME=$KERNEL_CPU \
    NUMBA_CPU_FEATURES=
EXPOSE 8090/tcp 20000-20063/udp 20000-20063/tcp
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", \
    "import os, ssl, urllib.request as u; s = 's' * bool(os.environ.get('MEDIASERVER_TLS_CERT')); \
u.urlopen(f'http{s}://127.0.0.1:{os.environ[\"MEDIASERVER_PORT\"]}/healthz', timeout=2, context=ssl._create_unverified_context())"]
ENTRYPOINT ["mediaserver"]
CMD ["serve"]
