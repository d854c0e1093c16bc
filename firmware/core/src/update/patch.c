#include "patch.h"

#include <string.h>

#include "aiot/delta.h"
#include "document.h"
#include "transfer.h"

/* State of a patch. It is in the line's memory, which is available once the manifest has been read. */
typedef struct {
  aiot_delta delta;
  /* Number of received bytes of the patch, and the position of those that are not decoded yet. */
  uint32_t got;
  uint32_t input_at;
  uint32_t input_bytes;
  uint8_t input[256];
} patching;

static uint64_t now(const aiot_update *u) { return u->setup.clock->uptime_ms(u->setup.clock->context); }

static patching *patching_of(const aiot_update *u) {
  const uintptr_t at = (uintptr_t)u->setup.line->memory;
  return (void *)(u->setup.line->memory + (8 - at % 8) % 8);
}

static const aiot_content *active(const aiot_update *u) {
  const aiot_record *r = &u->setup.store->record;
  return r->active == AIOT_NO_SLOT || !r->slot[r->active].present ? NULL : &r->slot[r->active];
}

static void tell(aiot_update *u, aiot_code code, const char *why) {
  u->has_delta = true;
  u->delta_code = code;
  u->delta_message = why;
}

void aiot_choose_delta(aiot_update *u) {
  const aiot_record *r = &u->setup.store->record;
  const aiot_desired *desired = &u->desired;
  const aiot_content *base = active(u);
  u->by_delta = false;
  if (!desired->has_delta) return;
  /* An interrupted download of the whole artifact is resumed, without a patch. */
  if (r->download.slot == u->slot && memcmp(r->download.digest, u->manifest.digest, AIOT_SHA256_BYTES) == 0) return;
  tell(u, AIOT_OK, NULL);
  if (base == NULL || memcmp(base->digest, desired->delta_base, AIOT_SHA256_BYTES) != 0) {
    tell(u, AIOT_DELTA_BASE, "the device runs another release");
  } else if (desired->delta_bytes > u->manifest.bytes / 2) {
    tell(u, AIOT_DELTA_MALFORMED, "expected at most half of the full size");
  } else if (u->setup.line->bytes < sizeof(patching) + 7) {
    tell(u, AIOT_MEMORY_SHORT, "this firmware has no room for a decoder");
  } else {
    u->by_delta = true;
  }
}

const uint8_t *aiot_source_digest(const aiot_update *u) { return u->by_delta ? u->desired.delta_digest : u->manifest.digest; }

static bool read_base(void *context, uint32_t offset, void *out, size_t bytes) {
  const aiot_update *u = context;
  return aiot_store_read(u->setup.store, u->setup.store->record.active, offset, out, bytes);
}

void aiot_begin_patch(aiot_update *u) {
  patching *p = patching_of(u);
  const aiot_crypto *crypto = u->setup.crypto;
  aiot_delta_begin(&p->delta, read_base, u, active(u)->bytes, (uint32_t)u->manifest.bytes);
  p->got = p->input_at = p->input_bytes = 0;
  crypto->sha256_begin(crypto->context, u->hash);
}

uint32_t aiot_patch_from(const aiot_update *u) { return patching_of(u)->got; }

aiot_pace aiot_fall_back(aiot_update *u, aiot_code code, const char *why) {
  aiot_record *r = &u->setup.store->record;
  aiot_abort(u);
  tell(u, code, why);
  u->by_delta = false;
  r->download.slot = AIOT_NO_SLOT;
  u->phase = AIOT_PHASE_DOWNLOADING;
  u->download_bytes = 0;
  u->written = u->waiting = u->sector = 0;
  u->failures = 0;
  u->not_before_ms = 0;
  if (!aiot_persist(u)) return LATER;
  aiot_report(u);
  u->activity = AIOT_DOES_ERASE;
  return MORE;
}

/* Decodes input until a sector is full. Content that was written before a power cut is decoded again, but not written again. */
static aiot_pace decode(aiot_update *u, patching *p) {
  aiot_store *store = u->setup.store;
  aiot_delta *d = &p->delta;
  const uint32_t sector = store->slot[u->slot].flash->sector_bytes;
  const uint32_t before = d->made;
  const bool skips = before < u->written;
  const uint32_t room = skips ? (u->written - before < sector ? u->written - before : sector) : sector - u->waiting;
  size_t used;
  const aiot_delta_state state = aiot_delta_push(d, p->input + p->input_at, p->input_bytes, &used, store->scratch + u->waiting, room);
  p->input_at += (uint32_t)used;
  p->input_bytes -= (uint32_t)used;
  if (state == AIOT_DELTA_UNREADABLE) return aiot_die(u);
  if (state == AIOT_DELTA_BROKEN) return aiot_fall_back(u, AIOT_DELTA_MALFORMED, "the patch is malformed");
  if (!skips) u->waiting += d->made - before;
  if (u->waiting == sector && !aiot_flush(u)) return aiot_die(u);
  /* All input has been decoded. In any other state, a match that is being repeated may still produce output. */
  if (state == AIOT_DELTA_NEEDS) p->input_at = p->input_bytes = 0;
  aiot_tell_progress(u);
  return MORE;
}

static aiot_pace patched(aiot_update *u, const patching *p) {
  const aiot_crypto *crypto = u->setup.crypto;
  uint8_t digest[AIOT_SHA256_BYTES];
  crypto->sha256_end(crypto->context, u->hash, digest);
  if (memcmp(digest, u->desired.delta_digest, sizeof digest) != 0)
    return aiot_fall_back(u, AIOT_DELTA_MALFORMED, "the patch does not match its digest");
  if (!aiot_delta_done(&p->delta)) return aiot_fall_back(u, AIOT_DELTA_MALFORMED, "the patch produces too few bytes");
  return aiot_downloaded(u);
}

aiot_pace aiot_patch_step(aiot_update *u) {
  patching *p = patching_of(u);
  const aiot_http *http = u->setup.line->http;
  const aiot_crypto *crypto = u->setup.crypto;
  const uint32_t missing = (uint32_t)u->desired.delta_bytes - p->got;
  uint8_t beyond;
  if (p->input_bytes > 0 || p->delta.repeats > 0) return decode(u, p);
  /* When all bytes have arrived, one more is requested, to check that there are no more. */
  const size_t room = missing < sizeof p->input ? missing : sizeof p->input;
  const int32_t got = missing == 0 ? http->read(http->context, &beyond, 1) : http->read(http->context, p->input, room);
  const bool silent = got == 0 && now(u) - u->since_ms >= AIOT_SILENCE_MS;
  const bool ended = got == AIOT_HTTP_END || got == AIOT_HTTP_BROKEN || silent;
  if (missing == 0 && ended) return patched(u, p);
  if (got == AIOT_HTTP_REFUSED || got == AIOT_HTTP_MISSING) return aiot_fall_back(u, AIOT_UPDATE_DOWNLOAD, "the platform rejected the request for the patch");
  if (ended) return aiot_ask_again(u, "the connection was lost");
  if (got <= 0) return LATER;
  if (missing == 0) return aiot_fall_back(u, AIOT_DELTA_MALFORMED, "the patch is longer than announced");
  crypto->sha256_update(crypto->context, u->hash, p->input, (size_t)got);
  p->got += (uint32_t)got;
  p->input_at = 0;
  p->input_bytes = (uint32_t)got;
  if (!aiot_keeps_pace(u, (uint32_t)got)) return aiot_fall_back(u, AIOT_UPDATE_DOWNLOAD, "the download of the patch is too slow");
  return MORE;
}
