#include "transfer.h"

#include "document.h"
#include "sector.h"

static uint64_t now(const aiot_update *u) { return u->setup.clock->uptime_ms(u->setup.clock->context); }

bool aiot_keeps_pace(aiot_update *u, uint32_t bytes) {
  const uint64_t time = now(u);
  u->since_ms = time;
  u->attempt_bytes += bytes;
  if (u->attempt_bytes >= AIOT_ATTEMPT_BYTES) u->failures = 0;
  u->pace_bytes += bytes;
  if (time - u->pace_ms < AIOT_PACE_MS) return true;
  const bool kept = u->pace_bytes >= AIOT_PACE_BYTES;
  u->pace_ms = time;
  u->pace_bytes = 0;
  return kept;
}

void aiot_tell_progress(aiot_update *u) {
  const int64_t bytes = (int64_t)u->written + u->waiting;
  const int64_t before = 4 * u->download_bytes / u->download_total;
  u->download_bytes = bytes;
  if (4 * bytes / u->download_total > before) aiot_report(u);
}

bool aiot_flush(aiot_update *u) {
  aiot_store *store = u->setup.store;
  /* The slot has room for the padding, because it consists of whole sectors. */
  const uint32_t padded = aiot_pad_block(store->scratch, u->waiting);
  if (!aiot_store_write(store, u->slot, u->written, store->scratch, padded)) return false;
  u->written += u->waiting;
  u->waiting = 0;
  return true;
}

aiot_pace aiot_not_downloaded(aiot_update *u, const char *what) {
  aiot_error_set(&u->error, AIOT_UPDATE_DOWNLOAD, "%s: expected %u bytes, got %u", what, (unsigned)u->manifest.bytes,
                 (unsigned)(u->written + u->waiting));
  return aiot_refuse(u);
}

aiot_pace aiot_ask_again(aiot_update *u, const char *what) {
  return aiot_try_again(u, AIOT_DOES_ASK_BLOB) ? LATER : aiot_not_downloaded(u, what);
}

aiot_pace aiot_downloaded(aiot_update *u) {
  aiot_store *store = u->setup.store;
  aiot_abort(u);
  if (!aiot_flush(u) || !aiot_store_sync(store, u->slot)) return aiot_die(u);
  u->phase = AIOT_PHASE_VERIFYING;
  u->download_bytes = u->download_total;
  aiot_report(u);
  store->crypto->sha256_begin(store->crypto->context, u->hash);
  u->sector = 0;
  u->activity = AIOT_DOES_HASH;
  return MORE;
}
