# aiot in a container: no shell, no package manager, no root. For amd64 and arm64:
#   docker buildx build --platform linux/amd64,linux/arm64 --tag registry.internal:5000/aiot:0.1.0 --push .
# Both images can be another registry's: --build-arg BUILD=… --build-arg RUN=….
ARG BUILD=docker.io/library/node:22.20.0-bookworm-slim
ARG RUN=gcr.io/distroless/nodejs22-debian12:nonroot

# Compiled once, on the machine that builds: JavaScript is the same for all of them.
FROM --platform=$BUILDPLATFORM ${BUILD} AS pack
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm pack --pack-destination /tmp && mv /tmp/aiot-*.tgz /tmp/aiot.tgz

# Installed for each of them: some packages have native parts.
FROM ${BUILD} AS install
WORKDIR /app
COPY --from=pack /tmp/aiot.tgz /tmp/aiot.tgz
RUN tar --extract --gzip --file /tmp/aiot.tgz --strip-components 1 --directory /app \
  && cp dist/package-lock.json . \
  && npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && mkdir -p /empty/var/lib/aiot /empty/project/data

FROM ${RUN}
LABEL org.opencontainers.image.title="aiot" \
  org.opencontainers.image.description="From sensor streams to models on microcontrollers, and a fleet that stays up to date" \
  org.opencontainers.image.licenses="Apache-2.0"
COPY --from=install --chown=0:0 /app /app
# New volumes take their owner from here.
COPY --from=install --chown=65532:65532 /empty/var/lib/aiot /var/lib/aiot
COPY --from=install --chown=65532:65532 /empty/project /project
ENV NODE_ENV=production \
  AIOT_DATA_DIR=/var/lib/aiot \
  AIOT_CONFIG_DIR=/var/lib/aiot/config \
  AIOT_CACHE_DIR=/var/lib/aiot/cache
WORKDIR /var/lib/aiot
USER 65532:65532
EXPOSE 8443 8883
ENTRYPOINT ["/nodejs/bin/node", "/app/bin/run.js"]
CMD ["--help"]
