/* Shared by the trust tests: a device that follows roots and timestamps, and the documents that its platform serves. */
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

/* Opens a device that runs version 1; version 2 and all valid documents are offered. */
world *world_open(checks *c, aiot_kind kind);
void world_close(world *w);

/* Root 2 separates the roles and has three offline keys, two of which must sign. The timestamp lists version 2. */
root_spec second(const world *w);
timestamp_spec stamped(const world *w);

/* Serves a root at this index (0 = root 2), signed by `signers`. serve_second and serve_third sign with the required keys. */
void serve(world *w, size_t place, const root_spec *root, const signing_key *signers, size_t count);
void serve_second(world *w, const root_spec *root);
void serve_third(world *w, const root_spec *root);
void serve_timestamp(world *w, const timestamp_spec *timestamp, const signing_key *key);

/* Restores the platform's content to what it serves without an attack. */
void serve_good(world *w);

#endif
