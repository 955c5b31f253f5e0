# The operator and its worker in one image: build in the first stage, and only what runs in the second. hack/image gives
# both the same base, by digest.
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      gcc make libc6-dev libpq-dev libcurl4-openssl-dev libyaml-dev libjansson-dev libmicrohttpd-dev libhiredis-dev libssl-dev \
      uthash-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Makefile VERSION ./
COPY hack/hardened hack/
COPY pkg pkg
COPY cmd cmd
COPY config/samples config/samples
COPY docs/conditions.md docs/
RUN make -j"$(nproc)" all && strip bin/pgsync-operator bin/pgsync bin/kubectl-pgsync bin/bookstore

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates libcurl4 libjansson4 libpq5 libssl3 libmicrohttpd12 libhiredis0.14 libyaml-0-2 \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
COPY LICENSE NOTICE /usr/share/doc/pgsync-operator/
# Side by side: the operator starts `pgsync worker`. Neither writes to the file system, so it may be read-only.
COPY --from=build /src/bin/pgsync-operator /src/bin/pgsync /src/bin/kubectl-pgsync /src/bin/bookstore /usr/local/bin/
RUN ln -s pgsync /usr/local/bin/bootstrap
# A number, so that runAsNonRoot can be checked without a user database.
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/pgsync-operator"]
