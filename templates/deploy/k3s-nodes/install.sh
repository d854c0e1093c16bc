#!/bin/sh
# install.sh SERVER|AGENT VERSION CONFIG-FOLDER, as root on the node. The join token comes on stdin and is stored only in the node's file.
# If /usr/local/bin/k3s exists, the script downloads nothing, so it works without internet access.
set -eu
role=$1
version=$2
folder=$3
umask 077
install -d -m 755 /etc/rancher/k3s
install -m 600 "$folder/config.yaml" /etc/rancher/k3s/config.yaml
[ ! -e "$folder/registries.yaml" ] || install -m 600 "$folder/registries.yaml" /etc/rancher/k3s/registries.yaml
if [ ! -t 0 ]; then
  token=$(cat)
  [ -z "$token" ] || printf '%s\n' "$token" >/etc/rancher/k3s/token
fi
if [ -x /usr/local/bin/k3s ]; then skip=true; else skip=false; fi
here=$(dirname "$0")
[ -e "$here/k3s-install.sh" ] || {
  echo "expected k3s-install.sh beside this file: K3s's own script, from https://get.k3s.io, looked at by you" >&2
  exit 2
}
INSTALL_K3S_VERSION="$version" INSTALL_K3S_SKIP_DOWNLOAD="$skip" INSTALL_K3S_EXEC="$role" sh "$here/k3s-install.sh"
