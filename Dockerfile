# syntax=docker/dockerfile:1
# The image of k8s/: one binary on glibc, without a shell. k8s/image-check runs the same files without Docker.

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
# Dependencies alone first: this layer is made anew only when they change.
COPY Cargo.toml Cargo.lock build.rs ./
RUN mkdir src && echo 'fn main() {}' >src/main.rs && touch src/lib.rs \
    && cargo build --locked --release --bin cistern && rm -r src
COPY src src
# Cargo goes by times, and those of the sources may be older than the empty ones.
RUN touch src/main.rs src/lib.rs && cargo build --locked --release --bin cistern && mkdir /empty

FROM gcr.io/distroless/base-nossl-debian12:nonroot
LABEL org.opencontainers.image.title="cistern" \
      org.opencontainers.image.description="A webhook-driven cache of GitLab CI: logs, test reports and artifacts" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/base-nossl-debian12:nonroot"
# All that the binary needs beside glibc.
COPY --from=build /lib/*-linux-gnu/libgcc_s.so.1 /usr/lib/
COPY --from=build /src/target/release/cistern /usr/local/bin/cistern
# The default store, sqlite:cistern.db, is in the working directory.
COPY --from=build --chown=65532:65532 /empty /var/lib/cistern
WORKDIR /var/lib/cistern
VOLUME /var/lib/cistern
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=2m CMD ["/usr/local/bin/cistern", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/cistern"]
CMD ["serve"]
