/* Signed releases for tests, made by OpenSSL. */
#ifndef AIOT_TEST_RELEASE_H
#define AIOT_TEST_RELEASE_H

#include "aiot/manifest.h"

typedef struct {
  void *pkey;
  uint8_t spki[AIOT_SPKI_BYTES];
  size_t spki_bytes;
  uint8_t id[AIOT_SHA256_BYTES];
} signing_key;

/* A new P-256 key; ends the program if OpenSSL fails. */
signing_key signing_key_new(void);
void signing_key_free(signing_key *key);

/* A trust root in which `keys` may sign and `threshold` of them must. */
aiot_trust trust_of(const signing_key *keys, size_t count, size_t threshold);

/* The same as JSON; its length. */
size_t trust_json(const signing_key *keys, size_t count, size_t threshold, char *out, size_t room);

/* An envelope of the payload with a signature of each key; returns its length. */
size_t envelope_of(const char *payload, const signing_key *keys, size_t count, char *out, size_t room);

/* Content of a release's manifest; 0 and NULL are the defaults. */
typedef struct {
  aiot_kind kind;
  const char *name;
  int64_t version;
  int64_t sequence;
  int64_t floor;
  int64_t issued;
  /* 0 = null. */
  int64_t expires;
  const char *type;
  const uint8_t *blob;
  size_t bytes;
  /* Members before those above: `"model":{…},`. */
  const char *more;
} release;

/* Writes its payload and returns its length. */
size_t release_payload(const release *r, char *out, size_t room);

#endif
