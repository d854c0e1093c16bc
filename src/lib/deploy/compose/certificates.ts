import { mosquittoAlone } from '../mosquitto.js';
import type { Values } from '../values/index.js';

/** Lines for secrets.sh: a CA of the installation's own, and certificates by it for who listens over TLS and who shows one. */
export function certificatesScript(values: Values): string {
  const { nats, redis, services, hosts } = values;
  const more = hosts.map((host) => (/^[\d.]+$|:/.test(host) ? `IP:${host}` : `DNS:${host}`)).join(',');
  const servers = [
    ...(nats ? ['nats'] : []),
    ...(redis ? ['redis'] : []),
    ...(mosquittoAlone(values) ? ['broker'] : []),
  ];
  const clients = Object.entries(services).flatMap(([name, { certificate }]) => (certificate ? [name] : []));
  if (servers.length + clients.length === 0) return '';
  return `
# Of other users of this machine nobody comes in; a container sees the one folder that it is given.
mkdir -p certs
chmod 700 certs
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
if [ ! -e certs/ca.crt ]; then
  key certs/ca.key
  openssl req -x509 -new -key certs/ca.key -subj "/CN=${values.name} CA" -days 3650 -out certs/ca.crt
  echo "made certs/ca.crt"
fi
# signed NAME EXTENSIONS: certs/NAME has tls.crt, tls.key and ca.crt.
signed() {
  [ -e "certs/$1/tls.crt" ] && return
  mkdir -p "certs/$1"
  key "certs/$1/tls.key"
  openssl req -new -key "certs/$1/tls.key" -subj "/CN=$1" -out "certs/$1/tls.csr"
  printf '%s\\n' "$2" >"certs/$1/tls.ext"
  openssl x509 -req -in "certs/$1/tls.csr" -CA certs/ca.crt -CAkey certs/ca.key -CAcreateserial -days 825 \\
    -extfile "certs/$1/tls.ext" -out "certs/$1/tls.crt" 2>/dev/null
  rm "certs/$1/tls.csr" "certs/$1/tls.ext"
  cp certs/ca.crt "certs/$1/ca.crt"
  chmod 755 "certs/$1"
  chmod 644 "certs/$1/tls.key" "certs/$1/tls.crt" "certs/$1/ca.crt"
  echo "made certs/$1"
}
${servers
  .map(
    (name) => `signed ${name} "subjectAltName=DNS:${name},DNS:localhost,IP:127.0.0.1,${more}
extendedKeyUsage=serverAuth"\n`,
  )
  .join('')}${clients.map((name) => `signed ${name} "extendedKeyUsage=clientAuth"\n`).join('')}`;
}
