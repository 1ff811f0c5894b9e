# One file for two builds: from source (default), or, offline, around a binary
# that is already there: --build-arg BIN=prebuilt with bin/xdsproxy in the context.
ARG BIN=build

FROM golang:1.26 AS build
ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY pkg pkg
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /xdsproxy ./cmd/xdsproxy

FROM scratch AS prebuilt
COPY bin/xdsproxy /xdsproxy

FROM ${BIN} AS bin

FROM scratch
COPY --from=bin /xdsproxy /xdsproxy
USER 65532:65532
ENTRYPOINT ["/xdsproxy"]
