#!/usr/bin/env bash
# Tests the packages of scripts/package/run.js on a machine without Node on the PATH: scripts/ci/packages.sh FOLDER. Unpacks and links
# the tarball, checks the .deb with lintian and dpkg, and uses both programs. Changes nothing on the machine.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$0")/../.."
folder=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archive=$(echo "$folder"/aiot-*-linux-*.tar.xz)
deb=$(echo "$folder"/aiot_*.deb)
fail() {
  echo "packages: $1"
  exit 1
}

# A PATH without Node, with only the system programs that the start script needs.
mkdir "$work/path" "$work/home"
for program in sh dirname readlink; do ln -s "$(command -v "$program")" "$work/path/$program"; done
without_node() { env -i PATH="$work/path" HOME="$work/home" TMPDIR="${TMPDIR:-/tmp}" LANG=C.UTF-8 "$@"; }

# try PROGRAM PROJECT: runs some commands of PROGRAM, and creates a project in the folder PROJECT.
try() {
  without_node "$1" --version
  without_node "$1" --help >"$work/help"
  without_node "$1" init "$2" --template motor-watch >"$work/init"
  [[ -s $2/aiot.yaml && -s $2/aiot.schema.json ]] || fail "$1 began no project"
  without_node "$1" board ports --json >"$work/ports"
}

echo "packages: $(basename "$archive")"
mkdir "$work/tar"
tar -xJf "$archive" -C "$work/tar"
home=$(echo "$work"/tar/aiot-*)
ln -s "$home/bin/aiot" "$work/linked"
try "$work/linked" "$work/one"
man --manpath="$home/share/man" --where aiot-model-train >"$work/man" || fail 'man finds no page of the tarball'
bash -n "$home/share/bash-completion/completions/aiot"
rm -r "$work/tar"

echo "packages: $(basename "$deb")"
root=$work/root
mkdir -p "$root/var/lib/dpkg"/{info,updates,triggers}
touch "$root/var/lib/dpkg/status" "$root/var/lib/dpkg/available"
# The root is otherwise empty: the package's dependencies are installed on the machine, not in the root. A test needs no syncing.
forced=(--force-depends --force-not-root --force-unsafe-io --force-script-chrootless)
dpkg --root="$root" "${forced[@]}" --log="$work/dpkg.log" --install "$deb" >"$work/dpkg" 2>&1 || { cat "$work/dpkg"; exit 1; }
[[ $(dpkg-query --admindir="$root/var/lib/dpkg" --showformat='${Status}' --show aiot) == 'install ok installed' ]]
try "$root/usr/bin/aiot" "$work/two"
man --manpath="$root/usr/share/man" --where aiot-model-train >"$work/man" || fail 'man finds no page of the .deb'
without_node "$root/usr/bin/aiot" demo --json >"$work/demo" 2>"$work/progress" || { cat "$work/progress" "$work/demo"; exit 1; }
# Checks the service's unit, with the program's current path.
sed "s,/usr/lib/aiot,$root/usr/lib/aiot,g" "$root/usr/lib/systemd/system/aiot-platform.service" >"$work/aiot-platform.service"
systemd-analyze verify "$work/aiot-platform.service" >"$work/verified" 2>&1 || true
grep aiot-platform "$work/verified" && fail 'the unit is not what systemd wants'
# lintian checks the package without npm's thousands of files, which would take minutes. The test suite checks manual pages itself.
mkdir "$work/ours"
dpkg-deb --raw-extract "$deb" "$work/ours/aiot"
rm -r "$work"/ours/aiot/usr/lib/aiot/{node_modules,node,dist,firmware,templates}
find "$work/ours/aiot/usr/share/man" -name 'aiot-*' -delete
dpkg-deb --root-owner-group -Zxz -z0 --build "$work/ours/aiot" "$work/ours" >"$work/built"
lintian --allow-root --no-cfg --fail-on error,warning --suppress-tags-from-file scripts/package/lintian-tags "$work"/ours/*.deb ||
  fail 'lintian found mistakes'
dpkg --root="$root" "${forced[@]}" --log="$work/dpkg.log" --remove aiot >"$work/dpkg" 2>&1 || { cat "$work/dpkg"; exit 1; }
[[ ! -e $root/usr/lib/aiot ]] || fail "dpkg --remove left $(find "$root/usr/lib/aiot" | head -3)"
echo "packages: $(basename "$(echo "$folder"/aiot-*.cdx.json)")"
.venv/sbom/bin/python scripts/ci/sbom.py "$(echo "$folder"/aiot-*.cdx.json)" || fail 'the bill of materials is not what CycloneDX wants'
echo 'packages: all well'
