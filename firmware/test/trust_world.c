#include "trust_world.h"

#include <stdlib.h>

root_spec second(const world *w) {
  return (root_spec){.version = 2, .root = w->root, .roots = ROOTS, .threshold = 2, .targets = &w->b->key, .timestamp = &w->stamp};
}

timestamp_spec stamped(const world *w) {
  return (timestamp_spec){1, 3000, 0, 2, 0, w->payload, aiot_kind_name(w->b->v2.kind), "thing", 6};
}

void serve(world *w, size_t place, const root_spec *root, const signing_key *signers, size_t count) {
  root_text(root, signers, count, w->text[place]);
  w->b->device.platform.roots[place] = w->text[place];
}

void serve_second(world *w, const root_spec *root) {
  const signing_key signers[] = {w->b->key, w->root[0], w->root[1]};
  serve(w, 0, root, signers, 3);
}

void serve_third(world *w, const root_spec *root) {
  serve(w, 1, root, w->root, 2);
}

void serve_timestamp(world *w, const timestamp_spec *timestamp, const signing_key *key) {
  timestamp_text(timestamp, key, w->timestamp);
  w->b->device.platform.timestamp = w->timestamp;
}

void serve_good(world *w) {
  const root_spec root = second(w);
  release_payload(&w->b->v2, w->payload, sizeof w->payload);
  const timestamp_spec timestamp = stamped(w);
  serve_second(w, &root);
  serve_timestamp(w, &timestamp, &w->stamp);
}

world *world_open(checks *c, aiot_kind kind) {
  world *w = calloc(1, sizeof *w);
  if (w == NULL) exit(2);
  w->b = bench_open(c, kind);
  for (size_t i = 0; i < ROOTS; i++) w->root[i] = signing_key_new();
  w->stamp = signing_key_new();
  w->fresh = signing_key_new();
  w->b->device.keeps = true;
  check_at(c, "boots", "with a keeper", 0, sim_device_boot(&w->b->device));
  serve_good(w);
  return w;
}

void world_close(world *w) {
  for (size_t i = 0; i < ROOTS; i++) signing_key_free(&w->root[i]);
  signing_key_free(&w->stamp);
  signing_key_free(&w->fresh);
  bench_close(w->b);
  free(w);
}
