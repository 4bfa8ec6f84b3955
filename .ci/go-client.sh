#!/bin/sh
# Build the command line of Bacalhau 1.9.3 as the file $1, from the Go module proxy: the tests of compatibility let
# it talk to our servers. Takes two to three minutes and 2 GB of Go's caches; a binary that is there is kept.
#
# `go install` cannot do it, since the module's go.mod replaces others.
set -eu

VERSION=v1.9.3
MODULE=github.com/bacalhau-project/bacalhau
TARGET=$1

[ ! -x "$TARGET" ] || exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export GOWORK=off GOFLAGS=-buildvcs=false
cd "$folder"
go mod download "$MODULE@$VERSION"
cd "$(go env GOMODCACHE)/$MODULE@$VERSION"
go build -trimpath -ldflags "-s -w -X $MODULE/pkg/version.GITVERSION=$VERSION" -o "$folder/client" .
install -m 0755 "$folder/client" "$TARGET"
