#!/usr/bin/env bash
# Tries the README's two commands where a stranger would: on a fresh Debian or Ubuntu that has
# nothing but python3 and make. Makes such a system in a folder, clones HEAD into it, and there
#   1. runs `make run`, copies a video into the inbox, waits for its poses, and presses Ctrl-C;
#   2. runs `make test`;
# first as root, then in another fresh copy as an ordinary user.
#
#   sudo [VIDEO=talk.mp4] packaging/bare-root.sh SUITE [root|user]
#
# SUITE is bookworm, trixie or noble. Without VIDEO, a clip of the tests is used. It needs root and
# Debian's mmdebstrap, and changes nothing outside of build/: what it mounts is in a mount namespace
# that ends with it. This machine's way to the package index (pip's settings, proxy, certificate) is
# carried over, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=${1:?bookworm, trixie or noble}
read -ra everyone <<<"${2:-root user}"
video=$(realpath "${VIDEO:-tests/data/astronaut.mp4}")

case $suite in
noble)
    # Debian does not package Ubuntu's archive key; this system is thrown away afterwards.
    mirror='deb [trusted=yes] http://archive.ubuntu.com/ubuntu noble main universe'
    ;;
*) mirror=http://deb.debian.org/debian ;;
esac

mkdir -p build/roots
image=build/roots/$suite.tar
# With apt, which every installed system has; only Debian's minbase brings it by itself.
[[ -e $image ]] || mmdebstrap --variant=minbase --include=apt,python3,make "$suite" "$image" "$mirror"

# Where pip gets packages from here, as a pip.conf for there; and the folders that it names.
index_settings() {
    python3 - "$1" <<'PYTHON'
import shutil, sys
from pathlib import Path
sys.path.insert(0, "packaging")
from package_index import PYPI, default_sources

root, sources = Path(sys.argv[1]), default_sources()
lines = ["[global]", f"index-url = {sources.indexes[0] if sources.indexes else PYPI}"]
if sources.indexes[1:]:
    lines.append("extra-index-url = " + " ".join(sources.indexes[1:]))
if sources.folders:
    lines.append("find-links = " + " ".join(map(str, sources.folders)))
if sources.proxy:
    lines.append(f"proxy = {sources.proxy}")
if sources.cert:
    shutil.copy(sources.cert, root / "etc" / "index-ca.pem")
    lines.append("cert = /etc/index-ca.pem")
if lines[1:] != [f"index-url = {PYPI}"]:
    (root / "etc" / "pip.conf").write_text("\n".join(lines) + "\n")
for index in sources.indexes:
    if index.startswith("file://"):
        print(Path(index.removeprefix("file://")).parent)
for folder in sources.folders:
    print(folder)
PYTHON
}

# Runs inside, as the user. Ctrl-C is played by a signal to the whole process group.
inside() {
    set -euo pipefail
    set -m
    cd ~/posewatch
    # shellcheck source=/dev/null
    echo "== make run, as $(id -un), $(. /etc/os-release; echo "$PRETTY_NAME"), $(python3 -V)"
    make run >~/run.log 2>&1 &
    for ((i = 0; i < 900; i++)); do
        if ! kill -0 %1 2>/dev/null; then
            cat ~/run.log
            echo "== make run ended by itself" && exit 1
        fi
        [[ ! -d inbox || -e inbox/talk.mp4 ]] || cp ~/talk.mp4 inbox/
        [[ ! -e inbox/talk.posewatch.json ]] || break
        sleep 1
    done
    kill -INT %1
    status=0
    wait %1 || status=$?
    cat ~/run.log
    echo "== make run: results after $i s; after Ctrl-C it ended with status $status; the inbox:"
    ls -l inbox
    cat inbox/talk.posewatch.json
    [[ -e inbox/talk.pose-mediapipe.npz ]]
    echo "== make test"
    time make test
}

try_as() {
    local user=$1 root home=/root folders
    root=$(mktemp -d "$PWD/build/roots/$suite-$user.XXXX")
    trap 'echo "== it failed; the system is kept in $root"' ERR
    tar -C "$root" -xf "$image"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    mapfile -t folders < <(index_settings "$root")
    if [[ $user != root ]]; then
        home=/home/$user
        chroot "$root" useradd --create-home --shell /bin/bash "$user"
    fi
    git clone --quiet "$PWD" "$root$home/posewatch"
    cp "$video" "$root$home/talk.mp4"
    declare -f inside >"$root/inside.sh"
    echo inside >>"$root/inside.sh"
    chroot "$root" chown -R "$user" "$home"
    # The mounts are seen by these processes only, and end with them.
    ROOT=$root unshare --mount --pid --fork bash -euo pipefail -s "$user" "$home" "${folders[@]}" <<'NAMESPACE'
user=$1 home=$2
shift 2
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"
mkdir "$ROOT/dev/shm" "$ROOT/dev/pts"
mount -t tmpfs tmpfs "$ROOT/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$ROOT/dev/pts"
ln -s pts/ptmx "$ROOT/dev/ptmx"
ln -s /proc/self/fd "$ROOT/dev/fd"
for node in null zero full random urandom; do
    touch "$ROOT/dev/$node"
    mount --bind "/dev/$node" "$ROOT/dev/$node"
done
for folder; do
    mkdir -p "$ROOT$folder"
    mount --bind -o ro "$folder" "$ROOT$folder"
done
proxies=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [[ -v $name ]] && proxies+=("$name=${!name}")
done
exec chroot --userspec="$user" "$ROOT" /usr/bin/env -i HOME="$home" PATH=/usr/bin:/bin \
    LANG=C.UTF-8 "${proxies[@]}" bash /inside.sh </dev/null
NAMESPACE
    rm -rf --one-file-system "$root"
    echo "== both commands work on $suite as $user"
}

for user in "${everyone[@]}"; do
    try_as "$user"
done
