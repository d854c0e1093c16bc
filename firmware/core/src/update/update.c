#include "aiot/update.h"

#include <string.h>

#include "download.h"
#include "fetch.h"
#include "job.h"
#include "trial.h"

/* Maximum duration of one call that has work to do, ms, and the maximum number of pieces of work in it. */
enum { STEP_MS = 20, STEP_PIECES = 32 };

/*
 * Discards slots that no longer match their digest. A damaged active slot is replaced by the previous version, unless that is below the
 * floor.
 */
static bool forget_damaged(aiot_update *u, bool *changed) {
  aiot_store *store = u->setup.store;
  aiot_record *r = &store->record;
  for (int i = 0; i < 2; i++) {
    uint8_t digest[AIOT_SHA256_BYTES];
    aiot_content *content = &r->slot[i];
    if (!content->present) continue;
    if (content->bytes > store->slot[i].bytes) {
      memset(digest, 0, sizeof digest);
    } else if (!aiot_store_digest(store, i, content->bytes, digest)) {
      return false;
    }
    if (memcmp(digest, content->digest, sizeof digest) == 0) continue;
    content->present = false;
    *changed = true;
  }
  if (!*changed || r->active == AIOT_NO_SLOT || r->slot[r->active].present) return true;
  const int8_t other = aiot_other_slot(r->active);
  /* A slot with content that is not on trial was committed once. */
  const bool usable = r->slot[other].present && r->trial.slot != other && r->slot[other].sequence >= r->floor;
  r->active = usable ? other : AIOT_NO_SLOT;
  return true;
}

/* Whether the running program was flashed by cable, because it is not in the record. `active`: the active slot in the record at boot. */
static bool came_by_cable(const aiot_update *u, int active) {
  const aiot_trial *trial = u->setup.trial;
  const aiot_record *r = &u->setup.store->record;
  if (trial->running == NULL || trial->by_cable == NULL) return false;
  const int runs = trial->running(trial->context);
  const bool meant = runs != AIOT_NO_SLOT && (runs == r->trial.slot || runs == active);
  /* Either the slot that should run contains another program, or another slot is running although the active one is intact. */
  if (meant ? r->slot[runs].present : active == AIOT_NO_SLOT || !r->slot[active].present) return false;
  return trial->by_cable(trial->context, meant ? runs : active);
}

/*
 * Adopts the running version, because physical access has priority. A version that waits for its trial is dropped. Sequences and
 * floors never decrease.
 */
static void adopt(aiot_update *u) {
  aiot_record *r = &u->setup.store->record;
  const int runs = u->setup.trial->running(u->setup.trial->context);
  r->active = runs != AIOT_NO_SLOT && r->slot[runs].present ? (int8_t)runs : AIOT_NO_SLOT;
  r->download.slot = AIOT_NO_SLOT;
  if (r->trial.slot == AIOT_NO_SLOT) return;
  r->slot[r->trial.slot].present = false;
  r->trial.slot = AIOT_NO_SLOT;
  r->last.present = true;
  memcpy(r->last.rollout, r->trial.rollout, sizeof r->last.rollout);
  r->last.state = AIOT_PHASE_ROLLED_BACK;
  aiot_error_set(&r->last.error, AIOT_UPDATE_TRIAL, "another program was flashed by cable");
}

bool aiot_update_boot(aiot_update *u, const aiot_update_setup *setup) {
  bool changed = false;
  memset(u, 0, sizeof *u);
  u->setup = *setup;
  const aiot_record *r = &setup->store->record;
  const int active = r->active;
  if (!forget_damaged(u, &changed)) {
    aiot_die(u);
    return false;
  }
  if (came_by_cable(u, active)) {
    adopt(u);
    changed = true;
  }
  u->phase = r->last.present ? r->last.state : AIOT_PHASE_IDLE;
  u->has_rollout = r->last.present;
  if (r->last.present) {
    memcpy(u->rollout, r->last.rollout, sizeof u->rollout);
    u->error = r->last.error;
  }
  if (changed && !aiot_persist(u)) return false;
  if (r->trial.slot == AIOT_NO_SLOT) {
    aiot_put_to_use(u);
    aiot_report(u);
    return true;
  }
  u->phase = AIOT_PHASE_STAGED;
  u->has_job = u->has_rollout = true;
  u->slot = r->trial.slot;
  memcpy(u->job_rollout, r->trial.rollout, sizeof u->job_rollout);
  memcpy(u->rollout, r->trial.rollout, sizeof u->rollout);
  memset(&u->error, 0, sizeof u->error);
  const aiot_trial *trial = setup->trial;
  /* The active version is not activated if firmware on trial is already running. */
  if (trial->running == NULL || trial->running(trial->context) != u->slot) aiot_put_to_use(u);
  if (!r->slot[u->slot].present) {
    aiot_error_set(&u->error, AIOT_DIGEST_MISMATCH, "the staged slot no longer matches its digest");
    aiot_refuse(u);
    return !u->dead;
  }
  aiot_report(u);
  u->activity = AIOT_DOES_BEGIN_TRIAL;
  return true;
}

static aiot_pace do_piece(aiot_update *u) {
  switch (u->activity) {
    case AIOT_DOES_NOTHING:
      return LATER;
    case AIOT_DOES_WAIT_FOR_LINE:
    case AIOT_DOES_KEEP_TRUST:
    case AIOT_DOES_READ_MANIFEST:
    case AIOT_DOES_CHECK_SIGNATURES:
      return aiot_manifest_step(u);
    case AIOT_DOES_ERASE:
    case AIOT_DOES_FIND_END:
    case AIOT_DOES_ASK_BLOB:
    case AIOT_DOES_READ_BLOB:
    case AIOT_DOES_HASH:
      return aiot_download_step(u);
    case AIOT_DOES_BEGIN_TRIAL:
    case AIOT_DOES_TRIAL:
    case AIOT_DOES_HEARTBEAT:
      return aiot_trial_step(u);
  }
  return LATER;
}

bool aiot_update_step(aiot_update *u) {
  const aiot_clock *clock = u->setup.clock;
  const uint64_t start = clock->uptime_ms(clock->context);
  for (int pieces = 0; pieces < STEP_PIECES && !u->dead; pieces++) {
    if (do_piece(u) == LATER) return false;
    if (clock->uptime_ms(clock->context) - start >= STEP_MS) break;
  }
  return !u->dead;
}

bool aiot_update_settled(const aiot_update *u) { return u->dead || !u->has_job; }
