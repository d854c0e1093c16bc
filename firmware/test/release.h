/* Signed releases for tests, created with OpenSSL. */
#ifndef AIOT_TEST_RELEASE_H
#define AIOT_TEST_RELEASE_H

#include "aiot/manifest.h"

typedef struct {
  void *pkey;
  uint8_t spki[AIOT_SPKI_BYTES];
  size_t spki_bytes;
  uint8_t id[AIOT_SHA256_BYTES];
} signing_key;

/* Creates a P-256 key. Ends the program if OpenSSL fails. */
signing_key signing_key_new(void);
void signing_key_free(signing_key *key);

/* Creates a trust root in which `keys` may sign and `threshold` signatures are required. */
aiot_trust trust_of(const signing_key *keys, size_t count, size_t threshold);

/* Writes the same trust root as JSON, and returns its length. */
size_t trust_json(const signing_key *keys, size_t count, size_t threshold, char *out, size_t room);

/* Writes an envelope with the payload and a signature by each key. Returns its length. */
size_t envelope_of(const char *payload, const signing_key *keys, size_t count, char *out, size_t room);

/* Content of a release's manifest; members that are 0 or NULL get defaults. */
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
  /* JSON members that are placed before those above, such as `"model":{…},`. */
  const char *more;
} release;

/* Writes the payload and returns its length. */
size_t release_payload(const release *r, char *out, size_t room);

#endif
