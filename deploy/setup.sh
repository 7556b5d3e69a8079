#!/usr/bin/env bash
# Installs what Loglog needs to build and run: Debian packages through apt, LibTorch
# from the pinned torch wheel. Does nothing when all of it is there; needs no network
# then. Safe to run again after any failure.
#
#   deploy/setup.sh [--cuda] [--test] [--dev]
#     --cuda  also nvcc, cuBLAS, cuDNN and NCCL of one CUDA release (3 GB)
#     --test  also clang, with which the fuzzers are built, SciPy, which fits are held against,
#             TensorBoard, which reads our event files, and transformers, which exported
#             checkpoints are held against (with what --cuda installs: Python's torch needs those
#             libraries also to compute on a CPU)
#     --dev   also clang-format and clang-tidy
#   LOGLOG_LIBTORCH=DIR  use the LibTorch in DIR (with include/ and lib/) instead
#   LOGLOG_CACHE=DIR     where LibTorch is kept; default ~/.cache/loglog
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

part=cpu
extra=()
oracle=0
for arg in "$@"; do
  case $arg in
    --cuda) part=cuda ;;
    --test) extra+=(clang-14 libclang-rt-14-dev) oracle=1 ;;
    --dev) extra+=(clang-format clang-tidy) ;;
    -h | --help) sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "setup: unknown option '$arg'; see deploy/setup.sh --help" >&2; exit 2 ;;
  esac
done

say() { echo "setup: $*" >&2; }
# run WHAT-TO-DO COMMAND...: on failure names the command and the remedy.
run() {
  local remedy=$1 status=0
  shift
  "$@" || status=$?
  if [ "$status" -ne 0 ]; then
    say "failed (exit $status): $*"
    say "what to do: $remedy; then run this again, it continues where it stopped"
    exit 1
  fi
}

missing_packages() {
  local package
  for package in $(grep -v '^#' "$here/packages-debian.txt") ${extra[@]+"${extra[@]}"}; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || echo "$package"
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "no apt here: this script knows Debian 12 and Ubuntu 24.04."
    say "what to do: install the libraries of deploy/packages-debian.txt by your own package manager and build with cmake --preset release"
    exit 1
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      say "${#missing[@]} packages are missing and installing them needs root: ${missing[*]}"
      say "what to do: as root, run apt-get install ${missing[*]}"
      exit 1
    }
    sudo=(sudo)
  fi
  say "installing ${#missing[@]} Debian packages${sudo[0]+ with sudo} (compiler and libraries to build Loglog): ${missing[*]}"
  run "check the network and apt's sources" ${sudo[@]+"${sudo[@]}"} apt-get update -qq
  run "read apt's message above; a half-done install is mended by 'dpkg --configure -a'" \
    ${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Use-Pty=0 "${missing[@]}" >&2
}

# install_wheels LOCK DIR: into an environment of their own, by hash; the copy of the lock says
# that all of it is there.
install_wheels() {
  rm -rf "$2"
  run "install python3-venv, or free space in $2" /usr/bin/python3 -m venv "$2"
  run "check the network and the free disk space; a wrong hash means that the package was tampered with or damaged" \
    "$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-cache-dir \
    --only-binary=:all: --require-hashes -r "$1"
  cp "$1" "$2/installed.lock"
}

# install_libtorch PART
install_libtorch() {
  local part=$1
  if [ -n "${LOGLOG_LIBTORCH:-}" ]; then
    if [ ! -e "$LOGLOG_LIBTORCH/lib/libtorch_cpu.so" ] || [ ! -d "$LOGLOG_LIBTORCH/include/ATen" ]; then
      say "LOGLOG_LIBTORCH=$LOGLOG_LIBTORCH holds no LibTorch (looked for lib/libtorch_cpu.so and include/ATen)"
      say "what to do: name the folder of an unpacked LibTorch or of the torch package, or unset it"
      exit 1
    fi
    return 0
  fi
  if [ "$(uname -m)" != x86_64 ]; then
    say "the pinned LibTorch is for x86-64 and this machine is $(uname -m)"
    say "what to do: set LOGLOG_LIBTORCH to a LibTorch 2.11 for it"
    exit 1
  fi
  local lock=$here/libtorch-$part.lock
  local dir=${LOGLOG_CACHE:-$HOME/.cache/loglog}/libtorch-2.11.0-$part
  local stamp=$dir/installed.lock
  mkdir -p "$dir"
  exec 9>"$dir.lock"
  run "another set-up is at work; wait for it" flock -w 1800 9
  if cmp -s "$lock" "$stamp"; then return 0; fi
  say "installing LibTorch ($part) from the torch wheel into $dir; about $([ $part = cpu ] && echo 0.6 || echo 3) GB to fetch"
  install_wheels "$lock" "$dir"
}

# install_environment NAME LOCK WHAT MB: for tests that hold ours against another's program. The
# wheels are of CPython 3.11 on x86-64; elsewhere those tests skip.
install_environment() {
  local lock=$here/../bench/$2
  local dir=${LOGLOG_CACHE:-$HOME/.cache/loglog}/$1
  if cmp -s "$lock" "$dir/installed.lock"; then return 0; fi
  if [ "$(uname -m)" != x86_64 ] || ! /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    say "no $3 here: the pinned wheels are of CPython 3.11 on x86-64; tests against it skip"
    return 0
  fi
  say "installing $3 into $dir; about $4 MB to fetch"
  install_wheels "$lock" "$dir"
}

install_transformers() {
  local cache=${LOGLOG_CACHE:-$HOME/.cache/loglog}
  local packages=$cache/transformers/lib/python3.11/site-packages
  if [ -n "${LOGLOG_LIBTORCH:-}" ]; then
    say "no transformers here: they go with the pinned torch; tests against them skip"
    return 0
  fi
  install_environment transformers transformers.lock transformers 45
  [ -d "$packages" ] || return 0
  install_libtorch cuda
  echo "$cache/libtorch-2.11.0-cuda/lib/python3.11/site-packages" >"$packages/torch.pth"
}

install_packages
install_libtorch "$part"
if [ "$oracle" -eq 1 ]; then
  install_environment oracle scipy.lock SciPy 55
  install_environment tensorboard tensorboard.lock TensorBoard 45
  install_transformers
fi
