# Other users of this machine have no access; each container sees only its own folder.
mkdir -p certs
chmod 700 certs
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
if [ ! -e certs/ca.crt ]; then
  key certs/ca.key
  openssl req -x509 -new -key certs/ca.key -subj "/CN=<name> CA" -days 3650 -out certs/ca.crt
  echo "made certs/ca.crt"
fi
# signed NAME EXTENSIONS: writes tls.crt, tls.key and ca.crt to certs/NAME.
signed() {
  [ -e "certs/$1/tls.crt" ] && return
  mkdir -p "certs/$1"
  key "certs/$1/tls.key"
  openssl req -new -key "certs/$1/tls.key" -subj "/CN=$1" -out "certs/$1/tls.csr"
  printf '%s\n' "$2" >"certs/$1/tls.ext"
  openssl x509 -req -in "certs/$1/tls.csr" -CA certs/ca.crt -CAkey certs/ca.key -CAcreateserial -days 825 \
    -extfile "certs/$1/tls.ext" -out "certs/$1/tls.crt" 2>/dev/null
  rm "certs/$1/tls.csr" "certs/$1/tls.ext"
  cp certs/ca.crt "certs/$1/ca.crt"
  chmod 755 "certs/$1"
  chmod 644 "certs/$1/tls.key" "certs/$1/tls.crt" "certs/$1/ca.crt"
  echo "made certs/$1"
}
<each servers>
signed <item> "subjectAltName=DNS:<item>,DNS:localhost,IP:127.0.0.1,<addresses>
extendedKeyUsage=serverAuth"
<end>
<each clients>
signed <item> "extendedKeyUsage=clientAuth"
<end>
