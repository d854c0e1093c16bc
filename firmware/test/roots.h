/* Signed roots and timestamps for tests. */
#ifndef AIOT_TEST_ROOTS_H
#define AIOT_TEST_ROOTS_H

#include "release.h"

#define ROOT_TEXT_BYTES 16384

/* Content of a root; members that are 0 or NULL get defaults. */
typedef struct {
  int64_t version;
  /* 0 = expires in the year 2242. */
  int64_t expires;
  const signing_key *root;
  size_t roots;
  /* 0 = the number of keys. */
  size_t threshold;
  const signing_key *targets;
  const signing_key *timestamp;
  /* JSON members placed before the others. */
  const char *more;
} root_spec;

/* Writes the root's envelope, signed by these keys. */
void root_text(const root_spec *root, const signing_key *signers, size_t count, char out[ROOT_TEXT_BYTES]);

/* Content of a timestamp; members that are 0 or NULL get defaults. */
typedef struct {
  int64_t version;
  int64_t issued;
  int64_t expires;
  int64_t root;
  /* The highest sequence, which is used for all kinds. */
  int64_t newest;
  /* Payload of the newest manifest with that name; NULL = no entry. */
  const char *payload;
  const char *kind;
  const char *name;
  int64_t sequence;
} timestamp_spec;

void timestamp_text(const timestamp_spec *timestamp, const signing_key *signer, char out[ROOT_TEXT_BYTES]);

#endif
