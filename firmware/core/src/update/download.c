#include "download.h"

#include <string.h>

#include "document.h"
#include "job.h"
#include "names.h"
#include "patch.h"
#include "transfer.h"

static uint32_t sector_bytes(const aiot_update *u) { return u->setup.store->slot[u->slot].flash->sector_bytes; }

static uint64_t now(const aiot_update *u) { return u->setup.clock->uptime_ms(u->setup.clock->context); }

/* Number of sectors that the artifact needs. */
static uint32_t sectors(const aiot_update *u) {
  const uint32_t size = sector_bytes(u);
  return ((uint32_t)u->manifest.bytes + size - 1) / size;
}

void aiot_begin_download(aiot_update *u) {
  aiot_record *r = &u->setup.store->record;
  aiot_choose_delta(u);
  const bool resume = r->download.slot == u->slot && memcmp(r->download.digest, aiot_source_digest(u), AIOT_SHA256_BYTES) == 0;
  /* The record of the slot's old content is deleted before its first sector is erased. */
  r->slot[u->slot].present = false;
  if (!resume) r->download.slot = AIOT_NO_SLOT;
  u->has_download = true;
  u->download_bytes = 0;
  u->download_total = u->manifest.bytes;
  if (!aiot_persist(u)) return;
  aiot_report(u);
  u->failures = 0;
  u->not_before_ms = 0;
  u->sector = resume ? sectors(u) : 0;
  if (u->by_delta) aiot_begin_patch(u);
  u->activity = resume ? AIOT_DOES_FIND_END : AIOT_DOES_ERASE;
}

static aiot_pace erase_next(aiot_update *u) {
  aiot_store *store = u->setup.store;
  if (u->sector < sectors(u)) return aiot_store_erase(store, u->slot, u->sector++) ? MORE : aiot_die(u);
  /* After a fallback to the whole artifact, this update no longer owns the line, so another user may have it. */
  if (u->setup.line->user != NULL && u->setup.line->user != u) return LATER;
  u->setup.line->user = u;
  if (!aiot_store_sync(store, u->slot)) return aiot_die(u);
  store->record.download.slot = u->slot;
  memcpy(store->record.download.digest, aiot_source_digest(u), AIOT_SHA256_BYTES);
  if (!aiot_persist(u)) return LATER;
  u->activity = AIOT_DOES_ASK_BLOB;
  return MORE;
}

/* Searches back from the end for the last sector with data. It may contain an incomplete write, so it is erased. */
static aiot_pace find_end(aiot_update *u) {
  bool erased = true;
  if (u->sector > 0 && !aiot_store_erased(u->setup.store, u->slot, u->sector - 1, &erased)) return aiot_die(u);
  if (u->sector > 0 && erased) {
    u->sector--;
    return MORE;
  }
  if (u->sector > 0 && !aiot_store_erase(u->setup.store, u->slot, u->sector - 1)) return aiot_die(u);
  u->written = u->sector == 0 ? 0 : (u->sector - 1) * sector_bytes(u);
  u->activity = AIOT_DOES_ASK_BLOB;
  return MORE;
}

static aiot_pace ask(aiot_update *u) {
  static const char path[] = "/api/v1/blobs/sha256:";
  char whole[sizeof path + 2 * AIOT_SHA256_BYTES];
  const aiot_http *http = u->setup.line->http;
  if (now(u) < u->not_before_ms) return LATER;
  memcpy(whole, path, sizeof path);
  aiot_write_hex(aiot_source_digest(u), whole + sizeof path - 1);
  const uint32_t from = u->by_delta ? aiot_patch_from(u) : u->written + u->waiting;
  if (!http->open(http->context, whole, from)) return aiot_ask_again(u, "the platform is unreachable");
  u->since_ms = u->pace_ms = now(u);
  u->pace_bytes = u->attempt_bytes = 0;
  u->activity = AIOT_DOES_READ_BLOB;
  return MORE;
}

static aiot_pace too_many(aiot_update *u) {
  aiot_error_set(&u->error, AIOT_UPDATE_SIZE, "expected %u bytes, got more", (unsigned)u->manifest.bytes);
  return aiot_refuse(u);
}

static aiot_pace read_more(aiot_update *u) {
  aiot_store *store = u->setup.store;
  const aiot_http *http = u->setup.line->http;
  const uint32_t total = (uint32_t)u->manifest.bytes;
  const uint32_t missing = total - u->written - u->waiting;
  const uint32_t room = sector_bytes(u) - u->waiting;
  uint8_t beyond;
  /* When all bytes have arrived, one more is requested, to check that there are no more. */
  const int32_t got = missing == 0 ? http->read(http->context, &beyond, 1)
                                   : http->read(http->context, store->scratch + u->waiting, missing < room ? missing : room);
  const bool silent = got == 0 && now(u) - u->since_ms >= AIOT_SILENCE_MS;
  if (missing == 0 && (got == AIOT_HTTP_END || got == AIOT_HTTP_BROKEN || silent)) return aiot_downloaded(u);
  if (got == AIOT_HTTP_REFUSED || got == AIOT_HTTP_MISSING) return aiot_not_downloaded(u, "the platform rejected the request");
  if (got == AIOT_HTTP_END || got == AIOT_HTTP_BROKEN || silent) return aiot_ask_again(u, "the connection was lost");
  if (got <= 0) return LATER;
  if (missing == 0) return too_many(u);
  u->waiting += (uint32_t)got;
  if (!aiot_keeps_pace(u, (uint32_t)got)) return aiot_not_downloaded(u, "the download is too slow");
  if (u->waiting == sector_bytes(u) && !aiot_flush(u)) return aiot_die(u);
  aiot_tell_progress(u);
  return MORE;
}

/* The content is recorded only after the slot's digest has been verified. */
static aiot_pace verified(aiot_update *u) {
  aiot_store *store = u->setup.store;
  const aiot_manifest *m = &u->manifest;
  aiot_record *r = &store->record;
  uint8_t digest[AIOT_SHA256_BYTES];
  store->crypto->sha256_end(store->crypto->context, u->hash, digest);
  if (memcmp(digest, m->digest, sizeof digest) != 0) {
    if (u->by_delta) return aiot_fall_back(u, AIOT_DELTA_RESULT, "the result does not match the digest in the manifest");
    char expected[2 * AIOT_SHA256_BYTES + 1], got[2 * AIOT_SHA256_BYTES + 1];
    aiot_write_hex(m->digest, expected);
    aiot_write_hex(digest, got);
    aiot_error_set(&u->error, AIOT_DIGEST_MISMATCH, "expected sha256:%s, got sha256:%s", expected, got);
    return aiot_refuse(u);
  }
  aiot_content *content = &r->slot[u->slot];
  *content = (aiot_content){.present = true, .version = m->version, .sequence = m->sequence, .bytes = (uint32_t)m->bytes};
  memcpy(content->name, m->name, sizeof content->name);
  memcpy(content->digest, m->digest, sizeof content->digest);
  r->download.slot = AIOT_NO_SLOT;
  r->trial.slot = u->slot;
  memcpy(r->trial.rollout, u->job_rollout, sizeof r->trial.rollout);
  r->trial.floor = m->floor;
  r->trial.secure_version = m->secure_version;
  r->trial.tries = 0;
  u->phase = AIOT_PHASE_STAGED;
  if (!aiot_persist(u)) return LATER;
  aiot_report(u);
  u->activity = AIOT_DOES_BEGIN_TRIAL;
  return MORE;
}

static aiot_pace hash_next(aiot_update *u) {
  aiot_store *store = u->setup.store;
  const uint32_t at = u->sector * sector_bytes(u);
  const uint32_t total = (uint32_t)u->manifest.bytes;
  if (at >= total) return verified(u);
  const uint32_t count = total - at < sector_bytes(u) ? total - at : sector_bytes(u);
  if (!aiot_store_read(store, u->slot, at, store->scratch, count)) return aiot_die(u);
  store->crypto->sha256_update(store->crypto->context, u->hash, store->scratch, count);
  u->sector++;
  return MORE;
}

aiot_pace aiot_download_step(aiot_update *u) {
  switch (u->activity) {
    case AIOT_DOES_ERASE:
      return erase_next(u);
    case AIOT_DOES_FIND_END:
      return find_end(u);
    case AIOT_DOES_ASK_BLOB:
      return ask(u);
    case AIOT_DOES_READ_BLOB:
      return u->by_delta ? aiot_patch_step(u) : read_more(u);
    default:
      return hash_next(u);
  }
}
