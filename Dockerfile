# musterd as the entry point of an image. Targets:
#   binary     only the static binary, for `COPY --from=... /musterd /usr/bin/musterd` into an image of any base
#   documents  manual pages and completions for shells, each in its place under /usr/share
#   (last)     a small Debian with musterd as ENTRYPOINT, to derive images FROM
ARG RUST_IMAGE=rust:1.95-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM scratch AS documents
COPY man/musterd.1 /usr/share/man/man1/
COPY man/musterd.toml.5 /usr/share/man/man5/
COPY completions/musterd.bash /usr/share/bash-completion/completions/musterd
COPY completions/_musterd /usr/share/zsh/vendor-completions/
COPY completions/musterd.fish /usr/share/fish/vendor_completions.d/

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# A static-pie binary needs no libc in the image that it is copied into. An explicit --target keeps the flag
# away from proc macros, which cannot be linked statically.
ENV RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=/target
# The dependencies first, as a layer of their own: it is built anew only when Cargo.toml or Cargo.lock change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' >src/main.rs && touch src/lib.rs \
    && cargo build --release --locked --target "$(rustc -vV | sed -n 's/^host: //p')"
COPY src src
# The sources may be older than the layer above; cargo goes by the time of modification.
RUN touch src/main.rs src/lib.rs \
    && target="$(rustc -vV | sed -n 's/^host: //p')" \
    && cargo build --release --locked --target "$target" \
    && cp "/target/$target/release/musterd" /musterd

FROM scratch AS binary
COPY --from=build /musterd /musterd
ENTRYPOINT ["/musterd"]

FROM ${BASE_IMAGE}
COPY --from=build /musterd /usr/bin/musterd
COPY config/musterd.toml /etc/musterd.toml
ENTRYPOINT ["/usr/bin/musterd"]
