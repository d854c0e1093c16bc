/* What the tests of trust share: a device that follows roots and timestamps, and what its platform serves of them. */
#ifndef AIOT_TRUST_WORLD_H
#define AIOT_TRUST_WORLD_H

#include "roots.h"
#include "update_bench.h"

enum { ROOTS = 3 };

typedef struct {
  bench *b;
  signing_key root[ROOTS];
  signing_key stamp;
  signing_key fresh;
  char text[3][ROOT_TEXT_BYTES];
  char timestamp[ROOT_TEXT_BYTES];
  char payload[2048];
} world;

/* Around a device that runs version 1, with version 2 on offer and all that is right beside it. */
world *world_open(checks *c, aiot_kind kind);
void world_close(world *w);

/* Root 2 takes the keys apart: three offline ones, two of them wanted. The timestamp knows of version 2. */
root_spec second(const world *w);
timestamp_spec stamped(const world *w);

/* Serves it as the root at this place, 0 = root 2; signed as that one has to be, and as one after it. */
void serve(world *w, size_t place, const root_spec *root, const signing_key *signers, size_t count);
void serve_second(world *w, const root_spec *root);
void serve_third(world *w, const root_spec *root);
void serve_timestamp(world *w, const timestamp_spec *timestamp, const signing_key *key);

/* What the platform has when nobody attacks. */
void serve_good(world *w);

#endif
