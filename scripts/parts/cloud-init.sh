#!/bin/sh
# Creates .venv/cloud-init with Debian's cloud-init, which checks user data. It is unpacked but not installed, so nothing else on this
# machine changes. Needs apt-get, dpkg and Python. A second run does nothing.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/cloud-init
if [ -e "$folder/.stamp" ]; then
  echo "$folder is ready"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/package"
(cd "$folder/package" && { apt-get download -q cloud-init 2>/dev/null || { apt-get update -qq && apt-get download -q cloud-init; }; }) >/dev/null 2>&1
dpkg -x "$folder"/package/cloud-init_*.deb "$folder/root"
"${PYTHON:-python3}" -m venv "$folder/python"
"$folder/python/bin/python" -m pip install --quiet --disable-pip-version-check \
  PyYAML==6.0.3 jsonschema==4.26.0 Jinja2 configobj oauthlib requests jsonpatch netifaces
cat >"$folder/schema" <<'RUN'
#!/bin/sh
# schema FILE: prints the result of `cloud-init schema --config-file FILE`.
here=$(dirname "$0")
PYTHONPATH="$here/root/usr/lib/python3/dist-packages" exec "$here/python/bin/python" -m cloudinit.cmd.main schema --config-file "$1"
RUN
chmod +x "$folder/schema"
printf '#cloud-config\npackages: [curl]\n' >"$folder/try.yaml"
"$folder/schema" "$folder/try.yaml" >/dev/null
rm -rf "$folder/package"
echo made >"$folder/.stamp"
echo "$folder is made"
