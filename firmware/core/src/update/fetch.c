#include "fetch.h"

#include <string.h>

#include "document.h"
#include "download.h"
#include "job.h"

static aiot_pace wait_for_line(aiot_update *u) {
  aiot_keeper *keeper = u->setup.keeper;
  if (u->setup.trust == NULL) {
    aiot_error_set(&u->error, AIOT_SIGNATURE_INVALID, "the device has no trust root");
    return aiot_refuse(u);
  }
  if (u->setup.line->user != NULL) return LATER;
  u->setup.line->user = u;
  if (keeper != NULL) aiot_keeper_begin(keeper, u->desired.kind, u->desired.name);
  aiot_document_begin(&u->document);
  u->activity = keeper != NULL ? AIOT_DOES_KEEP_TRUST : AIOT_DOES_READ_MANIFEST;
  return MORE;
}

static aiot_pace keep_trust(aiot_update *u) {
  switch (aiot_keeper_step(u->setup.keeper, &u->error)) {
    case AIOT_LOOK_WAITS:
      return LATER;
    case AIOT_LOOK_WORKS:
      return MORE;
    case AIOT_LOOK_FAILED:
      return aiot_refuse(u);
    case AIOT_LOOK_DEAD:
      return aiot_die(u);
    case AIOT_LOOK_DONE:
      break;
  }
  u->activity = AIOT_DOES_READ_MANIFEST;
  return MORE;
}

static aiot_pace read_manifest(aiot_update *u) {
  const aiot_update_setup *s = &u->setup;
  switch (aiot_document_step(&u->document, s->line, s->clock, u->desired.manifest, "manifest", &u->error)) {
    case AIOT_DOCUMENT_WAITS:
      return LATER;
    case AIOT_DOCUMENT_WORKS:
      return MORE;
    case AIOT_DOCUMENT_MISSING:
      aiot_error_set(&u->error, AIOT_UPDATE_DOWNLOAD, "%s: not found on the platform", u->desired.manifest);
      return aiot_refuse(u);
    case AIOT_DOCUMENT_FAILED:
      return aiot_refuse(u);
    case AIOT_DOCUMENT_WHOLE:
      break;
  }
  if (aiot_envelope_open(&u->envelope, s->line->memory, u->document.bytes, "manifest", s->crypto, &u->error) != AIOT_OK) return aiot_refuse(u);
  aiot_envelope_signers(&u->envelope, s->keeper == NULL ? s->trust : &s->keeper->held, AIOT_ROLE_TARGETS);
  u->activity = AIOT_DOES_CHECK_SIGNATURES;
  return MORE;
}

/* Whether, according to the timestamp, the platform has published the release. */
static bool is_published(aiot_update *u) {
  const aiot_keeper *keeper = u->setup.keeper;
  const aiot_manifest *m = &u->manifest;
  if (keeper == NULL || !keeper->has_timestamp) return true;
  /* The timestamp was searched only for the desired release. Any other release is rejected by aiot_manifest_judge. */
  const bool listed = m->kind == u->desired.kind && strcmp(m->name, u->desired.name) == 0;
  return aiot_timestamp_judge(&keeper->timestamp, m, listed, u->envelope.digest, &u->error) == AIOT_OK;
}

/*
 * Resets the counters when the keys are replaced. An attacker with the old keys may have raised the counters, and signatures by the old
 * keys are no longer valid.
 */
static void enter_epoch(aiot_record *r, int64_t epoch) {
  if (epoch <= r->epoch) return;
  r->epoch = epoch;
  r->floor = r->sequence = r->newest_signed = r->secure_version = 0;
}

static aiot_pace check_signature(aiot_update *u) {
  aiot_code code;
  aiot_error *error = &u->error;
  /* Each signature takes long on a small chip, so other work is done in between. */
  if (!aiot_envelope_step(&u->envelope, &code, error)) return LATER;
  if (code != AIOT_OK) return aiot_refuse(u);
  aiot_manifest *m = &u->manifest;
  const aiot_traits *traits = &u->setup.traits;
  if (aiot_manifest_read(m, &u->envelope, traits->type, error) != AIOT_OK || !is_published(u)) return aiot_refuse(u);
  aiot_record *r = &u->setup.store->record;
  const aiot_clock *clock = u->setup.clock;
  const aiot_keeper *keeper = u->setup.keeper;
  if (keeper != NULL) enter_epoch(r, keeper->kept.epoch);
  const int64_t time = keeper != NULL ? aiot_keeper_now(keeper) : clock->now_ms(clock->context);
  const aiot_standing standing = {r->floor, r->sequence, r->newest_signed, aiot_store_slot_bytes(u->setup.store), r->secure_version};
  code = aiot_manifest_judge(m, &u->desired, &standing, traits, time, error);
  /* The time is recorded even if the manifest is rejected, because signed times form a clock that cannot be set back. */
  if (m->issued > r->newest_signed) r->newest_signed = m->issued;
  if (code != AIOT_OK) return aiot_refuse(u);
  aiot_begin_download(u);
  return u->dead ? LATER : MORE;
}

aiot_pace aiot_manifest_step(aiot_update *u) {
  switch (u->activity) {
    case AIOT_DOES_WAIT_FOR_LINE:
      return wait_for_line(u);
    case AIOT_DOES_KEEP_TRUST:
      return keep_trust(u);
    case AIOT_DOES_READ_MANIFEST:
      return read_manifest(u);
    default:
      return check_signature(u);
  }
}
