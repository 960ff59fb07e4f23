# The server with its networks: docker build -t touchstone . && docker run -p 8470:8470 -v touchstone:/data touchstone
# The first start prints a link that signs in as the operator. Put HTTPS before it, then add --behind-tls.

FROM rust:1-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN python3 scripts/fetch_ort.py && cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends libstdc++6 && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 8470 --home-dir /data touchstone && install -d -o touchstone -m 700 /data
COPY --from=build /build/target/release/touchstone /opt/touchstone/
COPY --from=build /build/vendor/ort/libonnxruntime.so /opt/touchstone/
COPY --from=build /build/models /opt/touchstone/models
ENV PATH=/opt/touchstone:$PATH ORT_DYLIB_PATH=/opt/touchstone/libonnxruntime.so \
    TOUCHSTONE_HOME=/data TOUCHSTONE_MODELS=/opt/touchstone/models TOUCHSTONE_LISTEN=0.0.0.0:8470
USER touchstone
VOLUME /data
EXPOSE 8470
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD bash -c \
    'exec 3<>/dev/tcp/127.0.0.1/8470 && printf "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && grep -q "200 OK" <&3'
ENTRYPOINT ["touchstone", "--log-json"]
CMD ["serve"]
