# enclave-snp, enclave-nitro and host: a file tree each, on nothing. No shell, no package manager, no development dependency.
#   buildah build --target enclave-snp --timestamp 0 --build-arg MODELS=path/in/context .
# BASE is Debian with Node, npm, a C++ compiler, make and python3; Node and a handful of libraries of it end in the images.
ARG BASE=docker.io/library/node:20.20.2-bookworm@sha256:8f693eaa7e0a8e71560c9a82b55fd54c2ae920a2ba5d2cde28bac7d1c01c9ba5

# The enclaves are built without running any dependency's install script.
FROM ${BASE} AS enclave-build
ARG SOURCE_DATE_EPOCH=0
# The repository baked into the enclave images as /models, and thereby measured where the image is.
ARG MODELS=enclave/sample-models
ENV ONNXRUNTIME_NODE_INSTALL=skip
WORKDIR /src
COPY . .
RUN npm ci --ignore-scripts --no-audit --no-fund && node tools/build.mjs
RUN deploy/image.sh enclave-snp /out/enclave-snp --models "$MODELS" --list /out/enclave-snp.list \
 && deploy/image.sh enclave-nitro /out/enclave-nitro --models "$MODELS" --list /out/enclave-nitro.list

# The host's database library is compiled from its npm source.
FROM ${BASE} AS host-build
ARG SOURCE_DATE_EPOCH=0
ENV ONNXRUNTIME_NODE_INSTALL=skip
WORKDIR /src
COPY . .
RUN npm ci --no-audit --no-fund && deploy/image.sh host /out/host --list /out/host.list

# Run read-only: nothing is written but under /run. In a pod that may ask for reports, /init is the command (deploy/kubernetes).
FROM scratch AS enclave-snp
COPY --from=enclave-build /out/enclave-snp/ /
USER 65532:65532
EXPOSE 9000
ENTRYPOINT ["/usr/bin/node", "/app/enclave/dist/main.js"]
CMD ["--platform", "snp", "--models", "/models", "--listen", "tcp:0.0.0.0:9000"]

# For nitro-cli build-enclave, whose first process starts /init as root whatever USER says; /init drops to 65532.
FROM scratch AS enclave-nitro
COPY --from=enclave-build /out/enclave-nitro/ /
USER 65532:65532
ENTRYPOINT ["/init"]

# Run read-only with a volume at /data.
FROM scratch AS host
COPY --from=host-build /out/host/ /
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/usr/bin/node", "--use-openssl-ca", "/app/host/dist/main.js"]
CMD ["--listen", "0.0.0.0:8080", "--data", "/data"]
