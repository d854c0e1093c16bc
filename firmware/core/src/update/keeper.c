#include <inttypes.h>
#include <string.h>

#include "document.h"
#include "kept.h"
#include "names.h"

/* Maximum number of roots per run, so that an attacker cannot keep the device busy with endless roots. */
enum { MOST_ROOTS = 64, PATH_BYTES = 48 };

static void hash(const aiot_crypto *crypto, const void *data, size_t bytes, uint8_t digest[AIOT_SHA256_BYTES]) {
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  crypto->sha256_begin(crypto->context, state);
  crypto->sha256_update(crypto->context, state, data, bytes);
  crypto->sha256_end(crypto->context, state, digest);
}

/* Reads one of the sectors and uses its state if it is the newest so far. False = the flash failed. */
static bool open_sector(aiot_keeper *k, int sector) {
  const aiot_line *line = k->setup.line;
  uint8_t *memory = (uint8_t *)line->memory;
  uint32_t counter = 0;
  bool worked = true;
  aiot_kept kept;
  const uint32_t length = aiot_sector_read(&k->setup.part, sector, memory, AIOT_KEPT_BYTES, &counter, &worked);
  if (length != AIOT_KEPT_BODY || (k->sector >= 0 && counter <= k->counter)) return worked;
  /* The counter continues, even if the record belongs to another identity. */
  k->sector = (int8_t)sector;
  k->counter = counter;
  k->held = *k->setup.first;
  k->kept = (aiot_kept){0};
  if (!aiot_kept_read(memory + AIOT_SECTOR_HEADER, &k->next, &kept, k->anchor)) return true;
  k->held = k->next;
  k->kept = kept;
  return true;
}

aiot_code aiot_keeper_open(aiot_keeper *k, const aiot_keeper_setup *setup) {
  static const uint8_t none[AIOT_SHA256_BYTES];
  static const aiot_kept blank;
  memset(k, 0, sizeof *k);
  k->setup = *setup;
  k->held = *setup->first;
  k->sector = -1;
  if (setup->line->bytes < AIOT_KEPT_BYTES) return AIOT_MEMORY_SHORT;
  uint8_t *memory = (uint8_t *)setup->line->memory;
  aiot_kept_write(memory, setup->first, &blank, none);
  hash(setup->crypto, memory, AIOT_KEPT_BODY, k->anchor);
  if (setup->part.flash == NULL) return AIOT_OK;
  if (setup->part.bytes < 2 * setup->part.flash->sector_bytes || setup->part.flash->sector_bytes < AIOT_KEPT_BYTES) return AIOT_FLASH_FAILED;
  return open_sector(k, 0) && open_sector(k, 1) ? AIOT_OK : AIOT_FLASH_FAILED;
}

/* Makes trust durable before it is used. The line's memory is not needed at this point, because its content has been checked. */
static bool keep(aiot_keeper *k, const aiot_trust *trust, const aiot_kept *kept) {
  uint8_t *memory = (uint8_t *)k->setup.line->memory;
  const int8_t sector = k->sector == 0 ? 1 : 0;
  if (k->setup.part.flash != NULL) {
    aiot_kept_write(memory + AIOT_SECTOR_HEADER, trust, kept, k->anchor);
    if (!aiot_sector_write(&k->setup.part, sector, memory, AIOT_KEPT_BODY, k->counter + 1)) return false;
    k->sector = sector;
    k->counter++;
  }
  if (trust != &k->held) k->held = *trust;
  k->kept = *kept;
  return true;
}

bool aiot_keeper_stamped(const aiot_keeper *k) { return k->held.role[AIOT_ROLE_TIMESTAMP].threshold > 0; }

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t aiot_keeper_now(const aiot_keeper *k) {
  const aiot_clock *clock = k->setup.clock;
  const int64_t now = clock->now_ms(clock->context);
  return k->kept.stamp_version == 0 ? now : later(now, k->kept.stamp_issued);
}

static void read(aiot_keeper *k, bool stamping) {
  k->stamping = stamping;
  k->activity = AIOT_KEEPER_READS;
  aiot_document_begin(&k->document);
}

void aiot_keeper_begin(aiot_keeper *k, aiot_kind kind, const char *name) {
  k->kind = kind;
  k->name[0] = '\0';
  if (name != NULL) memcpy(k->name, name, strlen(name) + 1);
  k->roots = 0;
  k->has_timestamp = false;
  read(k, false);
}

static aiot_look fail(aiot_keeper *k) {
  k->activity = AIOT_KEEPER_RESTS;
  return AIOT_LOOK_FAILED;
}

static void path_of(const aiot_keeper *k, char path[PATH_BYTES]) {
  static const char root[] = "/api/v1/trust/root/", timestamp[] = "/api/v1/trust/timestamp";
  char digits[24];
  size_t at = sizeof digits - 1;
  digits[at] = '\0';
  for (int64_t left = k->held.version + 1; left > 0; left /= 10) digits[--at] = (char)('0' + left % 10);
  memcpy(path, k->stamping ? timestamp : root, k->stamping ? sizeof timestamp : sizeof root);
  if (!k->stamping) memcpy(path + sizeof root - 1, digits + at, sizeof digits - at);
}

/* Ends a run after all roots were read: fails if the newest root has expired. */
static aiot_look end(aiot_keeper *k, aiot_error *error) {
  k->activity = AIOT_KEEPER_RESTS;
  if (k->held.expires > later(aiot_keeper_now(k), 0) || k->held.expires == INT64_MAX) return AIOT_LOOK_DONE;
  aiot_error_set(error, AIOT_TRUST_ROOT_EXPIRED, "root %" PRId64 " ended %" PRId64, k->held.version, k->held.expires);
  return AIOT_LOOK_FAILED;
}

static aiot_look missing(aiot_keeper *k, aiot_error *error) {
  if (k->stamping) {
    aiot_error_set(error, AIOT_TIMESTAMP_INVALID, "expected a timestamp, got none");
    return fail(k);
  }
  if (!aiot_keeper_stamped(k)) return end(k, error);
  read(k, true);
  return AIOT_LOOK_WORKS;
}

static aiot_look read_document(aiot_keeper *k, aiot_error *error) {
  const aiot_keeper_setup *s = &k->setup;
  const char *what = k->stamping ? "timestamp" : "root";
  char path[PATH_BYTES];
  path_of(k, path);
  switch (aiot_document_step(&k->document, s->line, s->clock, path, what, error)) {
    case AIOT_DOCUMENT_WAITS:
      return AIOT_LOOK_WAITS;
    case AIOT_DOCUMENT_WORKS:
      return AIOT_LOOK_WORKS;
    case AIOT_DOCUMENT_MISSING:
      return missing(k, error);
    case AIOT_DOCUMENT_FAILED:
      return fail(k);
    case AIOT_DOCUMENT_WHOLE:
      break;
  }
  if (aiot_envelope_open(&k->envelope, s->line->memory, k->document.bytes, what, s->crypto, error) != AIOT_OK) return fail(k);
  aiot_envelope_signers(&k->envelope, &k->held, k->stamping ? AIOT_ROLE_TIMESTAMP : AIOT_ROLE_ROOT);
  k->activity = k->stamping ? AIOT_KEEPER_CHECKS_STAMP : AIOT_KEEPER_CHECKS_HELD;
  return AIOT_LOOK_WORKS;
}

/* Reads a root that enough keys of the previous root have signed, and starts to verify the signatures by its own keys. */
static aiot_look open_root(aiot_keeper *k, aiot_error *error) {
  const aiot_code code = aiot_root_read(&k->next, k->envelope.payload, k->envelope.payload_bytes, k->setup.crypto);
  if (code != AIOT_OK) {
    if (code == AIOT_MEMORY_SHORT) aiot_error_set(error, code, "this firmware has room for %u keys of a root", AIOT_KEYS_MAX);
    else aiot_error_set(error, code, "the root is malformed");
    return fail(k);
  }
  aiot_envelope_signers(&k->envelope, &k->next, AIOT_ROLE_ROOT);
  k->activity = AIOT_KEEPER_CHECKS_OWN;
  return AIOT_LOOK_WORKS;
}

/* Whether enough signatures are possible for every role. If not, everyone would be locked out permanently. */
static bool is_usable(const aiot_trust *trust) {
  for (int role = 0; role < AIOT_ROLES; role++)
    if (aiot_count_bits(trust->role[role].keys) < trust->role[role].threshold) return false;
  return true;
}

/* Whether none of the role's earlier signatures are still valid, because too few of its keys remain. Only then may counters be reset. */
static bool is_replaced(const aiot_trust *before, const aiot_trust *after, aiot_role role) {
  uint32_t left = 0;
  if (before->role[role].threshold == 0) return true;
  for (size_t i = 0; i < before->keys; i++) {
    if ((before->role[role].keys >> i & 1) == 0) continue;
    for (size_t j = 0; j < after->keys; j++)
      if ((after->role[role].keys >> j & 1) != 0 && memcmp(before->key[i].id, after->key[j].id, AIOT_SHA256_BYTES) == 0) left++;
  }
  return left < after->role[role].threshold;
}

static aiot_look take_root(aiot_keeper *k, aiot_error *error) {
  const aiot_trust *next = &k->next;
  if (!is_usable(next)) {
    aiot_error_set(error, AIOT_MANIFEST_MALFORMED, "root %" PRId64 ": a role has fewer keys than its threshold", next->version);
    return fail(k);
  }
  if (next->version != k->held.version + 1) {
    aiot_error_set(error, AIOT_TRUST_VERSION, "expected root %" PRId64 " after root %" PRId64 ", got %" PRId64, k->held.version + 1, k->held.version,
                   next->version);
    return fail(k);
  }
  aiot_kept kept = k->kept;
  if (is_replaced(&k->held, next, AIOT_ROLE_TIMESTAMP)) kept.stamp_version = kept.stamp_issued = 0;
  if (is_replaced(&k->held, next, AIOT_ROLE_TARGETS)) kept.epoch = next->version;
  if (!keep(k, next, &kept)) return AIOT_LOOK_DEAD;
  if (++k->roots == MOST_ROOTS) {
    aiot_error_set(error, AIOT_TRUST_VERSION, "expected at most %u new roots, got more", MOST_ROOTS);
    return fail(k);
  }
  read(k, false);
  return AIOT_LOOK_WORKS;
}

static bool judge_timestamp(const aiot_keeper *k, aiot_error *error) {
  const aiot_timestamp *t = &k->timestamp;
  const aiot_kept *seen = &k->kept;
  if (t->version < seen->stamp_version) {
    aiot_error_set(error, AIOT_TIMESTAMP_ROLLBACK, "expected timestamp %" PRId64 " or a later one, got %" PRId64, seen->stamp_version, t->version);
    return false;
  }
  const int64_t time = later(later(aiot_keeper_now(k), t->issued), 0);
  if (t->expires <= time) {
    aiot_error_set(error, AIOT_TIMESTAMP_EXPIRED, "expected a timestamp valid at %" PRId64 ", got one that expired %" PRId64, time, t->expires);
    return false;
  }
  if (t->root > k->held.version) {
    aiot_error_set(error, AIOT_TRUST_ROOT_BEHIND, "expected root %" PRId64 ", as the timestamp says, got none after root %" PRId64, t->root,
                   k->held.version);
    return false;
  }
  return true;
}

static aiot_look take_timestamp(aiot_keeper *k, aiot_error *error) {
  const char *name = k->name[0] == '\0' ? NULL : k->name;
  if (aiot_timestamp_read(&k->timestamp, &k->envelope, k->kind, name, error) != AIOT_OK || !judge_timestamp(k, error)) return fail(k);
  const aiot_kept newer = {k->timestamp.version, later(k->timestamp.issued, k->kept.stamp_issued), k->kept.epoch};
  if (newer.stamp_version > k->kept.stamp_version && !keep(k, &k->held, &newer)) return AIOT_LOOK_DEAD;
  k->has_timestamp = true;
  return end(k, error);
}

aiot_look aiot_keeper_step(aiot_keeper *k, aiot_error *error) {
  aiot_code code;
  if (k->activity == AIOT_KEEPER_RESTS) return AIOT_LOOK_DONE;
  if (k->activity == AIOT_KEEPER_READS) return read_document(k, error);
  /* Each signature takes long on a small chip, so other work is done in between. */
  if (!aiot_envelope_step(&k->envelope, &code, error)) return AIOT_LOOK_WAITS;
  if (code != AIOT_OK) return fail(k);
  if (k->activity == AIOT_KEEPER_CHECKS_HELD) return open_root(k, error);
  return k->activity == AIOT_KEEPER_CHECKS_OWN ? take_root(k, error) : take_timestamp(k, error);
}

aiot_code aiot_root_open(aiot_trust *trust, char *envelope, size_t bytes, const aiot_crypto *crypto) {
  aiot_envelope opened;
  aiot_error error;
  aiot_code code = aiot_envelope_open(&opened, envelope, bytes, "root", crypto, &error);
  if (code == AIOT_OK) code = aiot_root_read(trust, opened.payload, opened.payload_bytes, crypto);
  if (code != AIOT_OK) return code;
  aiot_envelope_signers(&opened, trust, AIOT_ROLE_ROOT);
  while (!aiot_envelope_step(&opened, &code, &error)) continue;
  return code;
}
