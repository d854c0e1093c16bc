#include "update_bench.h"

#include <stdlib.h>
#include <string.h>

static bench *open_on(checks *c, aiot_kind kind, bool encrypted) {
  bench *b = calloc(1, sizeof *b);
  if (b == NULL) exit(2);
  b->c = c;
  b->key = signing_key_new();
  b->other = signing_key_new();
  b->trust = trust_of(&b->key, 1, 1);
  for (size_t i = 0; i < BLOB_BYTES; i++) {
    b->first[i] = (uint8_t)(i * 7);
    b->second[i] = (uint8_t)(i * 13);
  }
  b->first[0] = b->second[0] = SIM_GOOD;
  b->v1 = (release){kind, "thing", 1, 5, 3, 2000, 0, SIM_TYPE, b->first, BLOB_BYTES, NULL};
  b->v2 = (release){kind, "thing", 2, 6, 4, 3000, 0, SIM_TYPE, b->second, BLOB_BYTES, NULL};
  sim_device_open(&b->device, kind, SLOT_SECTORS, &b->trust);
  if (encrypted && !sim_flash_encrypt(&b->device.flash)) exit(2);
  sim_device_boot(&b->device);
  sim_device_offer(&b->device, &b->v1, &b->key, b->envelope, sizeof b->envelope);
  sim_device_desire(&b->device, &b->v1, "first");
  sim_device_run(&b->device, LONG_MS);
  check_at(c, "version 1 is committed", aiot_kind_name(kind), 0, b->device.update.phase == AIOT_PHASE_COMMITTED);
  sim_device_offer(&b->device, &b->v2, &b->key, b->envelope, sizeof b->envelope);
  return b;
}

bench *bench_open(checks *c, aiot_kind kind) { return open_on(c, kind, false); }

bench *bench_open_encrypted(checks *c, aiot_kind kind) { return open_on(c, kind, true); }

void bench_close(bench *b) {
  check_equal(b->c, "bits that were set over cleared ones", 0, 0, b->device.flash.overwrites);
  sim_device_close(&b->device);
  signing_key_free(&b->key);
  signing_key_free(&b->other);
  free(b);
}

int running_version(bench *b) {
  const release known[] = {b->v1, b->v2};
  return sim_device_runs(&b->device, known, 2) + 1;
}

void ends(bench *b, const char *what, const char *trace, aiot_phase phase, aiot_code code, int version) {
  const aiot_update *u = &b->device.update;
  const char *expected = code == AIOT_OK ? "" : aiot_code_name(code);
  const bool good = aiot_update_settled(u) && u->phase == phase && strcmp(u->error.code, expected) == 0 &&
                    strcmp(b->device.trace, trace) == 0 && running_version(b) == version &&
                    b->device.store.record.last.state == phase && b->device.line.user == NULL && !u->dead && !b->device.told_early;
  if (!check_at(b->c, "ends", what, 0, good))
    printf("  %s: %s %s (%s), trace %s, version %d\n", aiot_kind_name(u->setup.kind), aiot_phase_name(u->phase), u->error.code,
           u->error.message, b->device.trace, running_version(b));
}

const char *to(const bench *b, char end) {
  const bool restarts = b->v1.kind == AIOT_KIND_FIRMWARE;
  if (end == 'C') return restarts ? "DVSTSTC" : "DVSTC";
  return restarts ? "DVSTSTR" : "DVSTR";
}

void wish(bench *b, const char *rollout) {
  memset(b->device.trace, 0, sizeof b->device.trace);
  sim_device_desire(&b->device, &b->v2, rollout);
  sim_device_run(&b->device, LONG_MS);
}

void refused(bench *b, const char *what, aiot_code code) {
  const uint64_t served = b->device.platform.served;
  const int64_t newest = b->device.store.record.newest_signed;
  wish(b, what);
  ends(b, what, "DI", AIOT_PHASE_IDLE, code, 1);
  check_at(b->c, "newest signed time never decreases", what, 0, b->device.store.record.newest_signed >= newest);
  check_at(b->c, "abandoned early", what, 0, b->device.platform.served - served < 2 * AIOT_ENVELOPE_BYTES);
  /* After each rejection, the valid version is still accepted. */
  b->device.platform = (sim_platform){.chunk = 1460};
  sim_device_offer(&b->device, &b->v2, &b->key, b->envelope, sizeof b->envelope);
}

void offer_release(bench *b, const release *r) {
  sim_device_offer(&b->device, r, &b->key, b->envelope, sizeof b->envelope);
}
