# Dependencies are compiled in a separate layer, which only changes with the manifests.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY domain/Cargo.toml domain/
COPY files/Cargo.toml files/
COPY postgres/Cargo.toml postgres/
COPY storage/Cargo.toml storage/build.rs storage/
COPY tables/Cargo.toml tables/
COPY onnx/export/Cargo.toml onnx/export/
COPY onnx/model/Cargo.toml onnx/model/
COPY training/Cargo.toml training/
COPY plot/Cargo.toml plot/
COPY report/Cargo.toml report/
COPY server/Cargo.toml server/
COPY mlflow/Cargo.toml mlflow/
COPY bench/Cargo.toml bench/
RUN mkdir -p src tests && echo 'fn main() {}' > src/main.rs && touch tests/integration.rs \
 && for crate in domain files postgres storage tables onnx/export onnx/model training plot report server mlflow; do \
      mkdir -p $crate/src && touch $crate/src/lib.rs; done \
 && mkdir migrations && cargo build --release --locked
COPY . .
# The placeholder sources above are newer than the checkout.
RUN find . -name '*.rs' -not -path './target/*' -exec touch {} + && cargo build --release --locked

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/probeg probeg
COPY --from=build /src/target/release/probeg /usr/local/bin/probeg
USER probeg
WORKDIR /var/lib/probeg
ENV PROBEG_BIND=0.0.0.0:8000
EXPOSE 8000
# The image has no HTTP client, but bash can open TCP connections.
HEALTHCHECK --interval=5s --timeout=3s --start-period=15m --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000 && printf 'GET /health/ready HTTP/1.0\\r\\n\\r\\n' >&3 && head -1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["probeg"]
CMD ["up"]
