#!/bin/sh
# Called by certbot with each new certificate: the platform reads the files anew by itself.
set -eu
install -d -m 750 -o root -g aiot /etc/aiot/tls
install -m 640 -o root -g aiot "$RENEWED_LINEAGE/fullchain.pem" /etc/aiot/tls/tls.crt.part
install -m 640 -o root -g aiot "$RENEWED_LINEAGE/privkey.pem" /etc/aiot/tls/tls.key.part
mv /etc/aiot/tls/tls.key.part /etc/aiot/tls/tls.key
mv /etc/aiot/tls/tls.crt.part /etc/aiot/tls/tls.crt
