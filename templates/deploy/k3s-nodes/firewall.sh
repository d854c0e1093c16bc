#!/bin/sh
# Opens the ports of a K3s <role>, as root. Traffic from the pod and service networks must pass too.
set -eu
<when asked>
: "${NODES:?expected the network of the nodes, such as 192.168.1.0/24}"
<end>
ufw default deny incoming
ufw allow from 10.42.0.0/16 comment 'pods'
ufw allow from 10.43.0.0/16 comment 'services'
<each allowed>
<item>
<end>
ufw --force enable
