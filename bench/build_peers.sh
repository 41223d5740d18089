#!/usr/bin/env bash
# Builds the peers in other languages, Go and Tokio, into the directory given, each if its tool chain is there.
# Nothing is downloaded: the Go program needs the standard library alone, and the crates are Debian's packages.
set -euo pipefail

sources="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/peers"
out="${1:?usage: build_peers.sh DIRECTORY}"
mkdir -p "$out"
out="$(cd "$out" && pwd)"

# Debian's cargo and rustc come first: they are the ones that Debian's crates were packaged with.
cargo="$(PATH="/usr/bin:$PATH" command -v cargo || true)"
rustc="$(PATH="/usr/bin:$PATH" command -v rustc || true)"

build_go() {
  cd "$sources/go"
  GOTOOLCHAIN=local GOFLAGS=-buildvcs=false go build -o "$out/peer_go" .
  echo "Go $(go env GOVERSION | sed 's/^go//')" >"$out/versions_go.txt"
}

build_tokio() {
  # In a copy: cargo writes a Cargo.lock with the versions of this machine's packages beside the manifest.
  mkdir -p "$out/tokio"
  cp -rp "$sources/tokio/." "$out/tokio/"
  cd "$out/tokio"
  local crate features=()
  for crate in async-channel flume; do
    if compgen -G "/usr/share/cargo/registry/$crate-[0-9]*" >/dev/null; then
      features+=("$crate")
    else
      echo "no Debian crate $crate (librust-$crate-dev): its workloads are left out" >&2
      sed -i "/^$crate = /d" Cargo.toml
    fi
  done
  RUSTC="$rustc" "$cargo" build --quiet --release --offline --target-dir target --features "${features[*]}"
  cp target/release/peer_tokio "$out/peer_tokio"
  {
    echo "Tokio $(sed -n '/^name = "tokio"$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)"
    echo "rustc $("$rustc" --version | cut -d' ' -f2)"
  } >"$out/versions_tokio.txt"
}

# A peer that cannot be built is left out, not an old program of it run. In a shell of its own, and not as a condition:
# there `set -e` would be without effect.
build() { # build NAME
  rm -f "$out/peer_$1" "$out/versions_$1.txt"
  set +e
  (
    set -e
    "build_$1"
  )
  local status=$?
  set -e
  ((status == 0)) || echo "the peer in $1 cannot be built: left out" >&2
}

if command -v go >/dev/null; then
  build go
else
  echo "no Go: its peer is left out" >&2
fi
if [[ -n $cargo && -n $rustc ]] && compgen -G '/usr/share/cargo/registry/tokio-1.*' >/dev/null; then
  build tokio
else
  echo "no cargo with Debian's crate of Tokio (librust-tokio-dev): its peer is left out" >&2
fi
