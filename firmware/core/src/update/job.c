#include "job.h"

#include <string.h>

#include "document.h"

int8_t aiot_other_slot(int slot) { return slot == 0 ? 1 : 0; }

void aiot_report(aiot_update *u) { u->setup.report(u->setup.context, u); }

void aiot_abort(aiot_update *u) {
  aiot_line *line = u->setup.line;
  if (line->user != u) return;
  line->http->close(line->http->context);
  line->user = NULL;
}

static uint64_t now(const aiot_update *u) { return u->setup.clock->uptime_ms(u->setup.clock->context); }

bool aiot_try_again(aiot_update *u, aiot_activity next) {
  const aiot_http *http = u->setup.line->http;
  http->close(http->context);
  if (++u->failures >= AIOT_ATTEMPTS) return false;
  u->not_before_ms = now(u) + aiot_wait_after(u->failures);
  u->activity = next;
  return true;
}

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

void aiot_put_to_use(aiot_update *u) {
  const aiot_record *r = &u->setup.store->record;
  if (r->active == AIOT_NO_SLOT || !r->slot[r->active].present) return;
  u->setup.trial->activate(u->setup.trial->context, r->active, &r->slot[r->active]);
}

static bool is_staged(const aiot_update *u) { return u->phase == AIOT_PHASE_STAGED || u->phase == AIOT_PHASE_TRIAL; }

/* The slot that an update may overwrite. It is neither the active slot, nor a slot from which a version runs that was never committed. */
static int8_t free_slot(const aiot_update *u) {
  const aiot_trial *trial = u->setup.trial;
  const int8_t active = u->setup.store->record.active;
  if (active != AIOT_NO_SLOT || trial->running == NULL) return aiot_other_slot(active);
  return aiot_other_slot(trial->running(trial->context));
}

/* Records and reports that the device already runs the desired release. */
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
  u->written = u->waiting = 0;
  u->activity = AIOT_DOES_WAIT_FOR_LINE;
}

/* Handles the withdrawal of the desired release: a download is canceled, but a trial runs to completion. */
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

/* Ends the job, and starts a desired release that arrived in the meantime. */
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
  /* An interrupted download may be resumed. Bytes that failed verification are discarded. */
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
  /* Abandoning the trial comes last, because it may restart the device. */
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
  if (r->trial.secure_version > r->secure_version) r->secure_version = r->trial.secure_version;
  r->trial.slot = AIOT_NO_SLOT;
  r->last.present = true;
  memcpy(r->last.rollout, u->job_rollout, sizeof r->last.rollout);
  r->last.state = AIOT_PHASE_COMMITTED;
  memset(&r->last.error, 0, sizeof r->last.error);
  u->phase = AIOT_PHASE_COMMITTED;
  u->has_download = false;
  no_error(u);
  if (!aiot_persist(u)) return LATER;
  aiot_put_to_use(u);
  aiot_report(u);
  return end_job(u);
}
