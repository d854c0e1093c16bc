#include "aiot/update.h"

#include <string.h>

#include "machine.h"

/* As long as one call may take where there is much to do, and how many pieces of work it does at most. */
enum { STEP_MS = 20, STEP_PIECES = 32 };

int8_t aiot_other_slot(int slot) { return slot == 0 ? 1 : 0; }

void aiot_report(aiot_update *u) { u->setup.report(u->setup.context, u); }

aiot_pace aiot_die(aiot_update *u) {
  aiot_abort(u);
  u->dead = true;
  u->activity = AIOT_DOES_NOTHING;
  return LATER;
}

bool aiot_persist(aiot_update *u) {
  if (aiot_store_persist(u->setup.store)) return true;
  aiot_die(u);
  return false;
}

static void no_error(aiot_update *u) { memset(&u->error, 0, sizeof u->error); }

static void put_to_use(aiot_update *u) {
  const aiot_record *r = &u->setup.store->record;
  if (r->active == AIOT_NO_SLOT || !r->slot[r->active].present) return;
  u->setup.trial->activate(u->setup.trial->context, r->active, &r->slot[r->active]);
}

static bool is_staged(const aiot_update *u) { return u->phase == AIOT_PHASE_STAGED || u->phase == AIOT_PHASE_TRIAL; }

/* The slot that an update may overwrite: not the active one, nor the one that runs though nothing was ever committed. */
static int8_t free_slot(const aiot_update *u) {
  const aiot_trial *trial = u->setup.trial;
  const int8_t active = u->setup.store->record.active;
  if (active != AIOT_NO_SLOT || trial->running == NULL) return aiot_other_slot(active);
  return aiot_other_slot(trial->running(trial->context));
}

/* It runs what is wished for already. */
static void already_there(aiot_update *u, const aiot_desired *desired) {
  aiot_record *r = &u->setup.store->record;
  aiot_abort(u);
  r->last.present = true;
  memcpy(r->last.rollout, desired->rollout, sizeof r->last.rollout);
  r->last.state = AIOT_PHASE_COMMITTED;
  memset(&r->last.error, 0, sizeof r->last.error);
  u->phase = AIOT_PHASE_COMMITTED;
  u->has_job = false;
  u->has_rollout = true;
  memcpy(u->rollout, desired->rollout, sizeof u->rollout);
  u->has_download = u->has_delta = false;
  no_error(u);
  if (aiot_persist(u)) aiot_report(u);
}

static void begin(aiot_update *u, const aiot_desired *desired) {
  const aiot_record *r = &u->setup.store->record;
  if (is_staged(u)) {
    u->has_pending = strcmp(desired->rollout, u->job_rollout) != 0;
    if (u->has_pending) u->pending = *desired;
    return;
  }
  if (u->has_job && strcmp(desired->rollout, u->job_rollout) == 0) return;
  if (!u->has_job && r->last.present && strcmp(desired->rollout, r->last.rollout) == 0) {
    aiot_report(u);
    return;
  }
  const aiot_content *active = r->active == AIOT_NO_SLOT ? NULL : &r->slot[r->active];
  if (active != NULL && active->present && active->sequence == desired->sequence &&
      active->version == desired->version && strcmp(active->name, desired->name) == 0) {
    already_there(u, desired);
    return;
  }
  aiot_abort(u);
  u->phase = AIOT_PHASE_DOWNLOADING;
  u->has_job = true;
  u->has_pending = false;
  u->desired = *desired;
  memcpy(u->job_rollout, desired->rollout, sizeof u->job_rollout);
  u->slot = free_slot(u);
  u->has_rollout = true;
  memcpy(u->rollout, desired->rollout, sizeof u->rollout);
  u->has_download = u->has_golden = u->has_delta = u->by_delta = false;
  no_error(u);
  aiot_report(u);
  aiot_begin_manifest(u);
}

/* The wish is taken back: a download ends, a trial runs to its end. */
static void withdraw(aiot_update *u) {
  u->has_pending = false;
  if (u->phase != AIOT_PHASE_DOWNLOADING && u->phase != AIOT_PHASE_VERIFYING) return;
  aiot_abort(u);
  u->phase = AIOT_PHASE_IDLE;
  u->has_job = u->has_rollout = u->has_download = false;
  aiot_report(u);
}

void aiot_update_desire(aiot_update *u, const aiot_desired *desired) {
  if (u->dead) return;
  if (desired == NULL) withdraw(u);
  else if (desired->kind == u->setup.kind) begin(u, desired);
}

/* The job has ended: a wish that came meanwhile has its turn. */
static aiot_pace end_job(aiot_update *u) {
  u->has_job = false;
  u->activity = AIOT_DOES_NOTHING;
  if (!u->has_pending) return LATER;
  const aiot_desired next = u->pending;
  u->has_pending = false;
  begin(u, &next);
  return LATER;
}

aiot_pace aiot_refuse(aiot_update *u) {
  aiot_record *r = &u->setup.store->record;
  const bool staged = is_staged(u), tried = u->phase == AIOT_PHASE_TRIAL;
  aiot_abort(u);
  if (staged) r->slot[u->slot].present = false;
  /* A broken download may go on where it stopped; bytes that were found wrong are not worth keeping. */
  if (strcmp(u->error.code, aiot_code_name(AIOT_UPDATE_DOWNLOAD)) != 0) r->download.slot = AIOT_NO_SLOT;
  r->trial.slot = AIOT_NO_SLOT;
  r->last.present = true;
  memcpy(r->last.rollout, u->job_rollout, sizeof r->last.rollout);
  r->last.state = staged ? AIOT_PHASE_ROLLED_BACK : AIOT_PHASE_IDLE;
  r->last.error = u->error;
  u->phase = r->last.state;
  u->has_download = false;
  if (!aiot_persist(u)) return LATER;
  aiot_report(u);
  const int slot = u->slot;
  const aiot_pace pace = end_job(u);
  /* Last of all, for it may restart the device. */
  const aiot_trial *trial = u->setup.trial;
  const bool runs = trial->running != NULL && trial->running(trial->context) == slot;
  if (tried || (staged && runs)) trial->abandon(trial->context, slot, r->active);
  return pace;
}

aiot_pace aiot_commit(aiot_update *u) {
  aiot_record *r = &u->setup.store->record;
  const aiot_content *content = &r->slot[r->trial.slot];
  r->active = r->trial.slot;
  if (content->sequence > r->sequence) r->sequence = content->sequence;
  if (r->trial.floor > r->floor) r->floor = r->trial.floor;
  r->trial.slot = AIOT_NO_SLOT;
  r->last.present = true;
  memcpy(r->last.rollout, u->job_rollout, sizeof r->last.rollout);
  r->last.state = AIOT_PHASE_COMMITTED;
  memset(&r->last.error, 0, sizeof r->last.error);
  u->phase = AIOT_PHASE_COMMITTED;
  u->has_download = false;
  no_error(u);
  if (!aiot_persist(u)) return LATER;
  put_to_use(u);
  aiot_report(u);
  return end_job(u);
}

/* Forgets slots that no longer have their digest. A damaged active one gives way to the version before it, unless that is below the floor. */
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
  /* A slot with content is either on trial or was committed once. */
  const bool usable = r->slot[other].present && r->trial.slot != other && r->slot[other].sequence >= r->floor;
  r->active = usable ? other : AIOT_NO_SLOT;
  return true;
}

/* Whether the program that runs is none that the record speaks of: it came by cable. `active`: as the record had it when the device booted. */
static bool came_by_cable(const aiot_update *u, int active) {
  const aiot_trial *trial = u->setup.trial;
  const aiot_record *r = &u->setup.store->record;
  if (trial->running == NULL || trial->by_cable == NULL) return false;
  const int runs = trial->running(trial->context);
  const bool meant = runs != AIOT_NO_SLOT && (runs == r->trial.slot || runs == active);
  /* In the slot that is meant to run lies another program; or another slot runs, though nothing is wrong with that one. */
  if (meant ? r->slot[runs].present : active == AIOT_NO_SLOT || !r->slot[active].present) return false;
  return trial->by_cable(trial->context, meant ? runs : active);
}

/* Who holds the board in hand has the last word: what runs is kept, and what waited for its trial is given up. What never may fall does not. */
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
  aiot_error_set(&r->last.error, AIOT_UPDATE_TRIAL, "another program was put on the device by cable");
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
    put_to_use(u);
    aiot_report(u);
    return true;
  }
  u->phase = AIOT_PHASE_STAGED;
  u->has_job = u->has_rollout = true;
  u->slot = r->trial.slot;
  memcpy(u->job_rollout, r->trial.rollout, sizeof u->job_rollout);
  memcpy(u->rollout, r->trial.rollout, sizeof u->rollout);
  no_error(u);
  const aiot_trial *trial = setup->trial;
  /* Firmware that is on trial runs already, and is not left for the active one. */
  if (trial->running == NULL || trial->running(trial->context) != u->slot) put_to_use(u);
  if (!r->slot[u->slot].present) {
    aiot_error_set(&u->error, AIOT_DIGEST_MISMATCH, "the staged slot no longer has its digest");
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
