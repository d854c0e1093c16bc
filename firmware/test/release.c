#include "release.h"

#include <inttypes.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(bool worked) {
  if (worked) return;
  fprintf(stderr, "release: OpenSSL failed, or there was no room\n");
  exit(2);
}

signing_key signing_key_new(void) {
  signing_key key = {0};
  EVP_PKEY *pkey = EVP_EC_gen("P-256");
  need(pkey != NULL);
  uint8_t *der = NULL;
  const int bytes = i2d_PUBKEY(pkey, &der);
  need(bytes > 0 && (size_t)bytes <= sizeof key.spki);
  memcpy(key.spki, der, (size_t)bytes);
  key.spki_bytes = (size_t)bytes;
  OPENSSL_free(der);
  SHA256(key.spki, key.spki_bytes, key.id);
  key.pkey = pkey;
  return key;
}

void signing_key_free(signing_key *key) { EVP_PKEY_free(key->pkey); }

aiot_trust trust_of(const signing_key *keys, size_t count, size_t threshold) {
  aiot_trust trust = {.version = 1, .expires = INT64_MAX, .keys = count};
  trust.role[AIOT_ROLE_ROOT].keys = trust.role[AIOT_ROLE_TARGETS].keys = (1u << count) - 1;
  trust.role[AIOT_ROLE_ROOT].threshold = trust.role[AIOT_ROLE_TARGETS].threshold = (uint32_t)threshold;
  for (size_t i = 0; i < count; i++) {
    memcpy(trust.key[i].id, keys[i].id, sizeof keys[i].id);
    memcpy(trust.key[i].spki, keys[i].spki, keys[i].spki_bytes);
    trust.key[i].spki_bytes = (uint8_t)keys[i].spki_bytes;
  }
  return trust;
}

static void hex_of(const uint8_t digest[32], char out[65]) {
  for (int i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static size_t base64_of(const void *data, size_t bytes, char *out, size_t room) {
  need(room > (bytes + 2) / 3 * 4);
  return (size_t)EVP_EncodeBlock((uint8_t *)out, data, (int)bytes);
}

size_t trust_json(const signing_key *keys, size_t count, size_t threshold, char *out, size_t room) {
  char hex[65], key[256], members[2048] = "", ids[1024] = "";
  for (size_t i = 0; i < count; i++) {
    hex_of(keys[i].id, hex);
    base64_of(keys[i].spki, keys[i].spki_bytes, key, sizeof key);
    const size_t at = strlen(members), ids_at = strlen(ids);
    snprintf(members + at, sizeof members - at, "%s\"%s\":{\"algorithm\":\"ecdsa-p256-sha256\",\"publicKey\":\"%s\"}", i ? "," : "",
             hex, key);
    snprintf(ids + ids_at, sizeof ids - ids_at, "%s\"%s\"", i ? "," : "", hex);
  }
  const int length = snprintf(out, room,
                              "{\"spec\":\"aiot-trust/1\",\"version\":1,\"keys\":{%s},\"roles\":{\"release\":{\"keyids\":[%s],"
                              "\"threshold\":%zu}}}",
                              members, ids, threshold);
  need(length > 0 && (size_t)length < room);
  return (size_t)length;
}

size_t envelope_of(const char *payload, const signing_key *keys, size_t count, char *out, size_t room) {
  size_t at = (size_t)snprintf(out, room, "{\"payload\":\"");
  at += base64_of(payload, strlen(payload), out + at, room - at);
  at += (size_t)snprintf(out + at, room - at, "\",\"signatures\":[");
  for (size_t i = 0; i < count; i++) {
    uint8_t der[80];
    size_t der_bytes = sizeof der;
    char hex[65], sig[128];
    EVP_MD_CTX *signing = EVP_MD_CTX_new();
    need(signing != NULL && EVP_DigestSignInit(signing, NULL, EVP_sha256(), NULL, keys[i].pkey) == 1 &&
         EVP_DigestSign(signing, der, &der_bytes, (const uint8_t *)payload, strlen(payload)) == 1);
    EVP_MD_CTX_free(signing);
    hex_of(keys[i].id, hex);
    base64_of(der, der_bytes, sig, sizeof sig);
    at += (size_t)snprintf(out + at, room - at, "%s{\"keyid\":\"%s\",\"sig\":\"%s\"}", i ? "," : "", hex, sig);
  }
  at += (size_t)snprintf(out + at, room - at, "]}");
  need(at < room);
  return at;
}

size_t release_payload(const release *r, char *out, size_t room) {
  uint8_t digest[32];
  char hex[65], expires[32] = "null";
  SHA256(r->blob, r->bytes, digest);
  hex_of(digest, hex);
  if (r->expires != 0) snprintf(expires, sizeof expires, "%" PRId64, r->expires);
  const int length = snprintf(
      out, room,
      "{\"spec\":\"aiot-manifest/1\",\"role\":\"release\",\"kind\":\"%s\",\"name\":\"%s\",\"version\":%" PRId64 ",\"sequence\":%" PRId64
      ",\"floor\":%" PRId64 ",\"issued\":%" PRId64
      ",\"expires\":%s,\"deviceTypes\":[\"other\",\"%s\"],%s\"artifacts\":[{\"name\":\"a\",\"digest\":\"sha256:%s\",\"bytes\":%zu}]}",
      aiot_kind_name(r->kind), r->name, r->version, r->sequence, r->floor, r->issued, expires, r->type, r->more ? r->more : "", hex,
      r->bytes);
  need(length > 0 && (size_t)length < room);
  return (size_t)length;
}
