/*
 * Cuts the power at every write and erase of a whole update, for each kind, and interrupts each operation in several ways. The
 * device must boot, run the previous version or the new one but never a mix, trust the previous root or the next one, and end in
 * the same state as without a cut.
 */
#include <string.h>

#include "check.h"
#include "patch.h"
#include "roots.h"
#include "sim_device.h"

enum { SLOT_SECTORS = 6, BLOB_BYTES = 4 * 4096 + 1234, LONG_MS = 300000 };

typedef struct {
  const char *name;
  /* Number of versions that were committed before. */
  size_t before;
  /* First byte of the new version, and whether the version is committed. */
  uint8_t does;
  bool stays;
  /* Whether pairs of cuts are also tried. */
  bool twice;
  /* Delivery: the whole artifact, or a patch whose result has the signed bytes or different ones. */
  enum { WHOLE, RIGHT, WRONG } patch;
  /* Whether two roots, the second of which has a different signing key, and a timestamp are delivered first. */
  bool rotates;
} scenario;

static const scenario scenarios[] = {
    {"the first version", 0, SIM_GOOD, true, false, WHOLE, false},
    {"a second version, in the other slot", 1, SIM_GOOD, true, true, WHOLE, false},
    {"a third version, over the first", 2, SIM_GOOD, true, false, WHOLE, false},
    {"a version that fails its trial", 1, SIM_BAD, false, true, WHOLE, false},
    {"a version that fails its trial, over an older one", 2, SIM_BAD, false, false, WHOLE, false},
    {"a second version, by a delta", 1, SIM_GOOD, true, true, RIGHT, false},
    {"a third version, by a delta", 2, SIM_GOOD, true, false, RIGHT, false},
    {"a version that fails its trial, by a delta", 1, SIM_BAD, false, false, RIGHT, false},
    {"a delta with a wrong result, then the whole version", 1, SIM_GOOD, true, false, WRONG, false},
    {"the first version, under the third root", 0, SIM_GOOD, true, false, WHOLE, true},
    {"a second version, under the third root", 1, SIM_GOOD, true, true, WHOLE, true},
};

typedef struct {
  checks checks;
  uint32_t cuts;
  uint32_t torn;
  uint32_t twice;
} totals;

typedef struct {
  sim_device device;
  sim_flash base;
  /* Versions 1, 2, … in the order of their release. The new version is the last one. */
  release known[3];
  size_t count;
  uint8_t blob[3][BLOB_BYTES];
  uint8_t patch[BLOB_BYTES];
  char envelope[SIM_ENVELOPE_BYTES];
  signing_key key;
  /* If the keys change: the offline key, the timestamp key, and the new release key. */
  signing_key root;
  signing_key stamp;
  signing_key fresh;
  char roots[2][ROOT_TEXT_BYTES];
  char timestamp[ROOT_TEXT_BYTES];
  aiot_trust trust;
  const scenario *scenario;
  int old_index;
  int new_index;
} bench;

/* The content includes more than a sector of 0xFF, like the padding of images, which looks erased. */
static void fill_blob(uint8_t *blob, uint8_t does, uint32_t seed) {
  for (size_t i = 0; i < BLOB_BYTES; i++) {
    seed = seed * 1664525u + 1013904223u;
    blob[i] = (uint8_t)(seed >> 24);
  }
  memset(blob + 2 * 4096 - 100, 0xff, 4096 + 300);
  blob[0] = does;
}

static void offer(bench *b, size_t index) {
  const signing_key *key = b->scenario->rotates && index == b->scenario->before ? &b->fresh : &b->key;
  sim_device_offer(&b->device, &b->known[index], key, b->envelope, sizeof b->envelope);
}

static void desire(bench *b, size_t index) {
  char rollout[32];
  snprintf(rollout, sizeof rollout, "rollout-%zu", index);
  const release *r = &b->known[index];
  if (b->device.platform.patch == NULL) sim_device_desire(&b->device, r, rollout);
  else sim_device_desire_delta(&b->device, r, r - 1, rollout);
}

/* Root 2 separates the roles. Root 3 has another release key, whose sequences start again. */
static void offer_roots(bench *b) {
  char payload[2048];
  const release *r = &b->known[b->scenario->before];
  const signing_key first[] = {b->key, b->root};
  root_spec root = {.version = 2, .root = &b->root, .roots = 1, .targets = &b->key, .timestamp = &b->stamp};
  root_text(&root, first, 2, b->roots[0]);
  root.version = 3;
  root.targets = &b->fresh;
  root_text(&root, &b->root, 1, b->roots[1]);
  release_payload(r, payload, sizeof payload);
  const timestamp_spec timestamp = {7, r->issued, 0, 3, r->sequence, payload, aiot_kind_name(r->kind), r->name, r->sequence};
  timestamp_text(&timestamp, &b->stamp, b->timestamp);
  b->device.platform.roots[0] = b->roots[0];
  b->device.platform.roots[1] = b->roots[1];
  b->device.platform.timestamp = b->timestamp;
}

/* Only a few bytes differ from the previous version, so that the patch is short. */
static void offer_patch(bench *b) {
  const scenario *s = b->scenario;
  const uint8_t *base = b->blob[s->before - 1];
  uint8_t made[BLOB_BYTES];
  memcpy(made, b->blob[s->before], sizeof made);
  if (s->patch == WRONG) made[BLOB_BYTES / 2] ^= 1;
  b->device.platform.patch_bytes = patch_of(base, made, sizeof made, b->patch, sizeof b->patch);
  b->device.platform.patch = b->patch;
  b->device.platform.chunk = 100;
}

static void bench_open(bench *b, aiot_kind kind, const scenario *s, checks *c) {
  memset(b, 0, sizeof *b);
  b->scenario = s;
  b->key = signing_key_new();
  b->root = signing_key_new();
  b->stamp = signing_key_new();
  b->fresh = signing_key_new();
  b->trust = trust_of(&b->key, 1, 1);
  b->count = s->before + 1;
  b->old_index = (int)s->before - 1;
  b->new_index = (int)s->before;
  sim_device_open(&b->device, kind, SLOT_SECTORS, &b->trust);
  for (size_t i = 0; i < b->count; i++) {
    fill_blob(b->blob[i], i < s->before ? SIM_GOOD : s->does, s->patch == WHOLE || i < s->before ? (uint32_t)i + 1 : (uint32_t)i);
    for (size_t at = 64; s->patch != WHOLE && i == s->before && at < BLOB_BYTES; at += 1999) b->blob[i][at] ^= 0x55;
    b->known[i] = (release){.kind = kind,
                            .name = "thing",
                            .version = (int64_t)i + 1,
                            .sequence = (int64_t)i + 5,
                            .floor = (int64_t)i + 1,
                            .issued = 1000 * (int64_t)i + 1000,
                            .type = SIM_TYPE,
                            .blob = b->blob[i],
                            .bytes = BLOB_BYTES};
  }
  if (s->rotates) b->known[s->before].sequence = b->known[s->before].floor = 1;
  b->device.keeps = s->rotates;
  check_at(c, "the device boots", s->name, 0, sim_device_boot(&b->device));
  for (size_t i = 0; i < s->before; i++) {
    offer(b, i);
    desire(b, i);
    sim_device_run(&b->device, LONG_MS);
  }
  check_at(c, "the previous versions are present", s->name, 0, sim_device_runs(&b->device, b->known, b->count) == b->old_index);
  if (!sim_flash_open(&b->base, b->device.flash.port.bytes, AIOT_SECTOR_BYTES)) check_at(c, "memory", "", 0, false);
  sim_flash_copy(&b->base, &b->device.flash);
  offer(b, s->before);
  if (s->patch != WHOLE) offer_patch(b);
  if (s->rotates) offer_roots(b);
}

static void bench_close(bench *b) {
  sim_flash_close(&b->base);
  sim_device_close(&b->device);
  signing_key_free(&b->key);
  signing_key_free(&b->root);
  signing_key_free(&b->stamp);
  signing_key_free(&b->fresh);
}

/* Updates the device from its previous state, with a power cut according to `cut_at` and `torn`. */
static void update(bench *b, uint32_t cut_at, sim_torn torn) {
  sim_flash_copy(&b->device.flash, &b->base);
  sim_device_boot(&b->device);
  b->device.flash.cut_at = cut_at;
  b->device.flash.torn = torn;
  desire(b, b->count - 1);
  sim_device_run(&b->device, LONG_MS);
}

static bool runs_old_or_new(bench *b) {
  const int runs = sim_device_runs(&b->device, b->known, b->count);
  return runs == b->old_index || (b->scenario->stays && runs == b->new_index) ||
         (b->device.setup.kind == AIOT_KIND_FIRMWARE && b->device.update.phase == AIOT_PHASE_TRIAL && runs == b->new_index);
}

/* Whether the record is true, as it must be at every moment: the bytes of each recorded slot match their digest. */
static bool record_is_true(sim_device *d) {
  static aiot_store store;
  static uint8_t scratch[AIOT_SECTOR_BYTES];
  sim_flash_power_on(&d->flash);
  if (!aiot_store_open_flash(&store, &d->releases, d->setup.crypto, scratch)) return false;
  for (int slot = 0; slot < 2; slot++) {
    uint8_t digest[AIOT_SHA256_BYTES];
    const aiot_content *content = &store.record.slot[slot];
    if (!content->present) continue;
    if (!aiot_store_digest(&store, slot, content->bytes, digest) || memcmp(digest, content->digest, sizeof digest) != 0) return false;
  }
  return true;
}

/* Whether the flash contains the durable state from before the power cut, or the state that was being written. */
static bool trusts_on(const bench *b, const aiot_keeper *before) {
  const aiot_keeper *now = &b->device.keeper;
  if (!b->device.keeps) return true;
  if (now->held.version == before->held.version)
    return now->kept.epoch == before->kept.epoch && (now->kept.stamp_version == before->kept.stamp_version || now->held.version == 3);
  return now->held.version == before->held.version + 1 && now->kept.epoch == (now->held.version == 3 ? 3 : 0);
}

/* Checks that the device runs the old or the new version after power-on, and ends as it would have without the cut. */
static bool recovers(bench *b) {
  static aiot_keeper before;
  sim_device *d = &b->device;
  before = d->keeper;
  if (!record_is_true(d) || !sim_device_boot(d) || !runs_old_or_new(b) || !trusts_on(b, &before)) return false;
  desire(b, b->count - 1);
  sim_device_run(d, LONG_MS);
  if (!aiot_update_settled(&d->update) || d->update.dead || d->flash.overwrites > 0) return false;
  const aiot_record *r = &d->store.record;
  const release *kept = b->scenario->stays ? &b->known[b->new_index] : b->old_index < 0 ? NULL : &b->known[b->old_index];
  const aiot_phase end = b->scenario->stays ? AIOT_PHASE_COMMITTED : AIOT_PHASE_ROLLED_BACK;
  const int runs = b->scenario->stays ? b->new_index : b->old_index;
  if (d->update.phase != end || sim_device_runs(d, b->known, b->count) != runs) return false;
  if (kept != NULL && (r->sequence != kept->sequence || r->floor != kept->floor)) return false;
  if (d->keeps && (d->keeper.held.version != 3 || d->keeper.kept.stamp_version != 7 || r->epoch != 3)) return false;
  if (r->newest_signed != b->known[b->new_index].issued) return false;
  return sim_device_boot(d) && sim_device_runs(d, b->known, b->count) == runs;
}

static void cut_everywhere(bench *b, totals *t, uint32_t operations) {
  for (uint32_t at = 1; at <= operations; at++) {
    for (sim_torn torn = SIM_TORN_BEFORE; torn < SIM_TORN_WAYS; torn++) {
      update(b, at, torn);
      check_at(&t->checks, "the power was cut", b->scenario->name, at, b->device.flash.off);
      check_at(&t->checks, "boots, runs old or new, and ends as without a cut", b->scenario->name, at * 10 + torn,
               recovers(b));
      t->torn++;
    }
    t->cuts++;
  }
}

/* Makes a second cut, at every operation of the recovery from the first one. */
static void cut_twice(bench *b, totals *t, uint32_t operations) {
  sim_device *d = &b->device;
  for (uint32_t at = 1; at <= operations; at++) {
    bool cut = true;
    for (uint32_t again = 1; cut; again++) {
      update(b, at, again % 2 == 0 ? SIM_TORN_BITS : SIM_TORN_HALF);
      bool good = record_is_true(d) && sim_device_boot(d) && runs_old_or_new(b);
      d->flash.cut_at = again;
      d->flash.torn = at % 2 == 0 ? SIM_TORN_HALF : SIM_TORN_BITS;
      desire(b, b->count - 1);
      sim_device_run(d, LONG_MS);
      cut = d->flash.off;
      good = good && recovers(b);
      check_at(&t->checks, "ends as without a cut after two cuts", b->scenario->name, at * 1000 + again, good);
      t->twice++;
    }
  }
}

static void run_scenario(aiot_kind kind, const scenario *s, totals *t) {
  static bench b;
  bench_open(&b, kind, s, &t->checks);
  update(&b, 0, SIM_TORN_BEFORE);
  const uint32_t writes = b.device.flash.writes, erases = b.device.flash.erases;
  const aiot_code told = s->patch == WRONG ? AIOT_DELTA_RESULT : AIOT_OK;
  check_at(&t->checks, "the patch was requested", s->name, 0, (b.device.platform.patch_requests > 0) == (s->patch != WHOLE));
  /* Firmware has restarted since then, so it does not report the delivery. */
  check_at(&t->checks, "reports how it was delivered", s->name, 0,
           kind == AIOT_KIND_FIRMWARE ||
               (b.device.update.has_delta == (s->patch != WHOLE) && b.device.update.delta_code == told));
  check_at(&t->checks, "ends without a cut", s->name, 0, aiot_update_settled(&b.device.update) && recovers(&b));
  const uint32_t before = t->cuts;
  cut_everywhere(&b, t, writes + erases);
  const uint32_t cuts = t->cuts - before;
  check_equal(&t->checks, "cuts = writes + erases", 0, writes + erases, cuts);
  if (s->twice) cut_twice(&b, t, writes + erases);
  printf("%s, %s: %u cuts tried = %u writes + %u erases\n", aiot_kind_name(kind), s->name, cuts, writes, erases);
  bench_close(&b);
}

int main(void) {
  totals t = {0};
  for (aiot_kind kind = AIOT_KIND_MODEL; kind <= AIOT_KIND_CONFIG; kind++)
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) run_scenario(kind, &scenarios[i], &t);
  printf("%u operations cut, %u cuts with all ways of tearing, %u pairs of cuts\n", t.cuts, t.torn, t.twice);
  return checks_end(&t.checks);
}
