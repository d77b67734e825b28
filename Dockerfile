# The server. Everything but the C library is in the binary: SQLite, libgit2, TLS. PostgreSQL's client programs stand beside it
# for backups: `pg_dump` copies from servers of its own major version (17) and older ones.
#
#   docker build -t godwit .
#   docker run -p 8892:8892 -v godwit:/var/lib/godwit --env-file godwit.env godwit

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY migrations migrations
COPY policies policies
COPY src src
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --locked --release --bin godwit && cp target/release/godwit /usr/local/bin/godwit

FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates postgresql-client-17 && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/godwit --create-home --shell /usr/sbin/nologin godwit
COPY --from=build /usr/local/bin/godwit /usr/local/bin/godwit
USER 10001
ENV GODWIT_DATA_DIR=/var/lib/godwit GODWIT_LISTEN=0.0.0.0:8892
VOLUME /var/lib/godwit
EXPOSE 8892
# bash instead of curl: it is there already.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD \
    bash -c 'exec 3<>/dev/tcp/127.0.0.1/8892 && printf "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && head -n 1 <&3 | grep -q " 200 "'
# SIGTERM lets the step in flight end, for up to 25 s: give it more than the usual ten (`docker stop --time 30`).
STOPSIGNAL SIGTERM
ENTRYPOINT ["godwit"]
CMD ["serve"]
