#!/bin/sh
# Called by certbot for each new certificate; the platform reloads the files automatically.
set -eu
install -d -m 750 -o root -g aiot /etc/aiot/tls
install -m 640 -o root -g aiot "$RENEWED_LINEAGE/fullchain.pem" /etc/aiot/tls/tls.crt.part
install -m 640 -o root -g aiot "$RENEWED_LINEAGE/privkey.pem" /etc/aiot/tls/tls.key.part
mv /etc/aiot/tls/tls.key.part /etc/aiot/tls/tls.key
mv /etc/aiot/tls/tls.crt.part /etc/aiot/tls/tls.crt
