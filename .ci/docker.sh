#!/bin/sh
# Give this machine a Docker engine and the image busybox:1.37, for the tests marked `docker`.
#
# Idempotent: an engine that answers is used as it is, an image that is there is kept. Needs root only
# where something has to be installed or started. The image is built from Debian's busybox-static, so no
# registry is asked. DOCKERD_LOG and DOCKERD_WAIT (seconds) may be set.
set -eu

IMAGE=busybox:1.37
LOG=${DOCKERD_LOG:-/var/log/dockerd.log}
WAIT=${DOCKERD_WAIT:-60}

say() { echo "docker.sh: $*"; }
fail() { echo "docker.sh: $*" >&2; exit 1; }
engine() { timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null; }

# Install the package $2 when the command or file $1 is missing.
need() {
  if command -v "$1" >/dev/null 2>&1; then return; fi
  say "installing $2"
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2" >/dev/null 2>&1 || {
    apt-get update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2" >/dev/null
  } || fail "cannot install $2: run this as root on Debian or Ubuntu, or start a Docker engine yourself"
}

start_engine() {
  need dockerd docker.io
  need docker docker.io
  say "starting dockerd, its log is $LOG"
  # A session of its own: the engine must outlive the shell that started it.
  setsid nohup dockerd >"$LOG" 2>&1 </dev/null &
  pid=$!
  waited=0
  until engine >/dev/null; do
    kill -0 "$pid" 2>/dev/null || { tail -n 20 "$LOG" >&2; fail "dockerd ended at once, see above"; }
    [ "$waited" -lt "$WAIT" ] || { tail -n 20 "$LOG" >&2; fail "dockerd does not answer after $WAIT s"; }
    sleep 1
    waited=$((waited + 1))
  done
}

import_image() {
  need busybox busybox-static
  busybox=$(command -v busybox)
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  mkdir -p "$root/bin" "$root/etc" "$root/root" "$root/tmp" "$root/dev" "$root/proc" "$root/sys"
  chmod 1777 "$root/tmp"
  cp "$busybox" "$root/bin/busybox"
  # Links for every applet: `sh`, `echo`, `sleep` and the rest are found on the PATH.
  "$busybox" --list | while read -r applet; do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  tar -C "$root" --owner=0 --group=0 -c . | docker import \
    --change 'CMD ["sh"]' \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    - "$IMAGE" >/dev/null
  say "imported $IMAGE from $busybox"
}

if version=$(engine); then
  say "engine $version answers"
else
  start_engine
  say "engine $(engine) started"
fi
if docker image inspect "$IMAGE" >/dev/null 2>&1; then
  say "image $IMAGE is there"
else
  import_image
fi
docker run --rm --network none "$IMAGE" true || fail "a container of $IMAGE does not run"
say "ready"
