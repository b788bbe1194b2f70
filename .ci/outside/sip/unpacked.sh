#!/usr/bin/env bash
# Programs of one Debian suite under a folder of their own, with all that they need: apt-get with a state of its own fetches
# the packages, and they are unpacked, not installed. So peers of several suites stand side by side, none of them becomes
# a service of this machine, and its Debian may be another one. Root is needed, for chroot and for /dev.
#
#     .ci/outside/sip/unpacked.sh bookworm FOLDER kamailio kamailio-presence-modules
#     chroot FOLDER/root kamailio -v
set -euo pipefail

suite=${1:?which suite?} folder=${2:?which folder?}
shift 2

# The machine's own source of Debian packages, if it has one.
sources=(/etc/apt/sources.list /etc/apt/sources.list.d/*)
mirror=$(cat "${sources[@]}" 2>/dev/null | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 || true)

mkdir -p "$folder"/{lists/partial,cache/archives/partial,root}
folder=$(cd "$folder" && pwd)
root="$folder/root"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $suite main" \
    >"$folder/sources.list"
: >"$folder/status"

apt=(apt-get -qq
    -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null -o "Dir::State::lists=$folder/lists" -o "Dir::State::status=$folder/status"
    -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root)
"${apt[@]}" update
"${apt[@]}" install -y --no-install-recommends --download-only dash coreutils "$@" >/dev/null

# Newer suites have one /usr for all; bullseye's packages do as well with these links.
mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{dev,tmp}
for name in bin sbin lib lib64; do
    [[ -e $root/$name ]] || ln -s "usr/$name" "$root/$name"
done
for package in "$folder"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"
done
rm -rf "$folder/cache" "$folder/lists"

for device in "null 1 3" "zero 1 5" "random 1 8" "urandom 1 9"; do
    read -r name major minor <<<"$device"
    [[ -e $root/dev/$name ]] || mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done
cp /etc/passwd /etc/group "$root/etc/"
