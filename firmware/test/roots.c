#include "roots.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(bool worked) {
  if (worked) return;
  fprintf(stderr, "roots: there was no room\n");
  exit(2);
}

static void hex_of(const uint8_t digest[32], char out[65]) {
  for (int i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static void add_key(const signing_key *key, char *out, size_t room) {
  const size_t at = strlen(out);
  char hex[65], base64[256];
  hex_of(key->id, hex);
  EVP_EncodeBlock((uint8_t *)base64, key->spki, (int)key->spki_bytes);
  const int length = snprintf(out + at, room - at, "%s\"%s\":{\"algorithm\":\"ecdsa-p256-sha256\",\"publicKey\":\"%s\"}", at == 0 ? "" : ",", hex, base64);
  need(length > 0 && (size_t)length < room - at);
}

static void role_of(const signing_key *keys, size_t count, size_t threshold, char *out, size_t room) {
  size_t at = (size_t)snprintf(out, room, "{\"keyids\":[");
  for (size_t i = 0; i < count; i++) {
    char hex[65];
    hex_of(keys[i].id, hex);
    at += (size_t)snprintf(out + at, room - at, "%s\"%s\"", i == 0 ? "" : ",", hex);
    need(at < room);
  }
  at += (size_t)snprintf(out + at, room - at, "],\"threshold\":%zu}", threshold);
  need(at < room);
}

void root_text(const root_spec *r, const signing_key *signers, size_t count, char out[ROOT_TEXT_BYTES]) {
  static char keys[7000], root[2400], targets[120], timestamp[120], payload[10000];
  keys[0] = '\0';
  for (size_t i = 0; i < r->roots; i++) add_key(&r->root[i], keys, sizeof keys);
  add_key(r->targets, keys, sizeof keys);
  add_key(r->timestamp, keys, sizeof keys);
  role_of(r->root, r->roots, r->threshold == 0 ? r->roots : r->threshold, root, sizeof root);
  role_of(r->targets, 1, 1, targets, sizeof targets);
  role_of(r->timestamp, 1, 1, timestamp, sizeof timestamp);
  const int length = snprintf(payload, sizeof payload,
                              "{%s\"spec\":\"aiot-root/1\",\"version\":%" PRId64 ",\"issued\":1,\"expires\":%" PRId64
                              ",\"keys\":{%s},\"roles\":{\"root\":%s,\"targets\":%s,\"timestamp\":%s}}",
                              r->more == NULL ? "" : r->more, r->version, r->expires == 0 ? INT64_C(1) << 43 : r->expires, keys, root, targets, timestamp);
  need(length > 0 && (size_t)length < sizeof payload);
  envelope_of(payload, signers, count, out, ROOT_TEXT_BYTES);
}

void timestamp_text(const timestamp_spec *t, const signing_key *signer, char out[ROOT_TEXT_BYTES]) {
  char payload[1024], releases[256] = "", hex[65];
  uint8_t digest[32];
  if (t->payload != NULL) {
    SHA256((const uint8_t *)t->payload, strlen(t->payload), digest);
    hex_of(digest, hex);
    snprintf(releases, sizeof releases, "{\"kind\":\"%s\",\"name\":\"%s\",\"sequence\":%" PRId64 ",\"digest\":\"sha256:%s\"}", t->kind, t->name,
             t->sequence, hex);
  }
  const int64_t newest = t->newest == 0 ? 1000 : t->newest;
  const int length = snprintf(payload, sizeof payload,
                              "{\"spec\":\"aiot-timestamp/1\",\"version\":%" PRId64 ",\"issued\":%" PRId64 ",\"expires\":%" PRId64
                              ",\"root\":{\"version\":%" PRId64 ",\"digest\":\"sha256:%064d\"},\"newest\":{\"model\":%" PRId64
                              ",\"firmware\":%" PRId64 ",\"config\":%" PRId64 "},\"releases\":[%s]}",
                              t->version, t->issued, t->expires == 0 ? INT64_C(1) << 43 : t->expires, t->root, 0, newest, newest, newest, releases);
  need(length > 0 && (size_t)length < sizeof payload);
  envelope_of(payload, signer, 1, out, ROOT_TEXT_BYTES);
}
