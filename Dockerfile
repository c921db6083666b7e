# syntax=docker/dockerfile:1
# One image for every role: the role is the command (init, ingest, process, sink, webhooks, dashboard).
FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make perl pkg-config libssl-dev zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package tributary \
 && install -D -m 0755 target/release/tributary /out/tributary

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl libssl3 zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin tributary \
 && install -d -o tributary -g tributary /var/lib/tributary
COPY --from=build /out/tributary /usr/local/bin/tributary
USER tributary
WORKDIR /var/lib/tributary
VOLUME /var/lib/tributary
ENV TRIBUTARY_STATE__DIR=/var/lib/tributary
ENTRYPOINT ["tributary"]
