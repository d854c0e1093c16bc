#include "trial.h"

enum {
  /* Maximum number of restarts during a trial. After that, the trial fails, because the version may be crashing the device. */
  TRIALS = 3,
  HEARTBEAT_MS = 60000
};

static uint64_t now(const aiot_update *u) { return u->setup.clock->uptime_ms(u->setup.clock->context); }

/* Starts a trial. It is counted in flash first, so that a crash during the trial is detected at the next boot. */
static aiot_pace begin(aiot_update *u) {
  const aiot_trial *trial = u->setup.trial;
  aiot_record *r = &u->setup.store->record;
  /* The device was restarted into the firmware on trial. The trial was counted before the restart. */
  const bool entered = trial->running != NULL && trial->running(trial->context) == u->slot && r->trial.tries > 0;
  if (!entered) {
    if (r->trial.tries >= TRIALS) {
      aiot_error_set(&u->error, AIOT_UPDATE_TRIAL, "expected the trial to end, got %u restarts during it",
                     (unsigned)r->trial.tries);
      return aiot_refuse(u);
    }
    r->trial.tries++;
  }
  u->phase = AIOT_PHASE_TRIAL;
  u->has_golden = false;
  if (!entered && !aiot_persist(u)) return LATER;
  aiot_report(u);
  trial->begin(trial->context, u->slot, &r->slot[u->slot]);
  u->activity = AIOT_DOES_TRIAL;
  return MORE;
}

/* Checks the golden vectors. Only models have them; there must be at least one, and all must pass. */
static bool golden_is_good(aiot_update *u, uint32_t vectors, uint32_t passed) {
  u->has_golden = true;
  u->golden_vectors = vectors;
  u->golden_passed = passed;
  if (vectors > 0 && vectors == passed) return true;
  aiot_error_set(&u->error, AIOT_GOLDEN_MISMATCH, "expected all golden vectors to match, got %u of %u", (unsigned)passed,
                 (unsigned)vectors);
  return false;
}

static aiot_pace go_on(aiot_update *u) {
  const aiot_trial *trial = u->setup.trial;
  uint32_t vectors = 0, passed = 0;
  const aiot_trial_state state = trial->step(trial->context, &vectors, &passed, &u->error);
  if (state == AIOT_TRIAL_RUNS) return LATER;
  if (state == AIOT_TRIAL_WORKS) return MORE;
  if (state == AIOT_TRIAL_FAILED) {
    if (u->error.code[0] == 0) aiot_error_set(&u->error, AIOT_UPDATE_TRIAL, "the version failed its trial");
    return aiot_refuse(u);
  }
  if (u->setup.kind == AIOT_KIND_MODEL && !golden_is_good(u, vectors, passed)) return aiot_refuse(u);
  aiot_report(u);
  u->since_ms = now(u);
  u->activity = AIOT_DOES_HEARTBEAT;
  u->setup.heartbeat(u->setup.context, u);
  return LATER;
}

static aiot_pace wait_for_heartbeat(aiot_update *u) {
  if (u->setup.acknowledged(u->setup.context)) return aiot_commit(u);
  if (now(u) - u->since_ms < HEARTBEAT_MS) return LATER;
  aiot_error_set(&u->error, AIOT_UPDATE_HEARTBEAT, "expected the broker to acknowledge within %d s", HEARTBEAT_MS / 1000);
  return aiot_refuse(u);
}

aiot_pace aiot_trial_step(aiot_update *u) {
  switch (u->activity) {
    case AIOT_DOES_BEGIN_TRIAL:
      return begin(u);
    case AIOT_DOES_TRIAL:
      return go_on(u);
    default:
      return wait_for_heartbeat(u);
  }
}
