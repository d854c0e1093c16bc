#include <string.h>

#include "aiot/json.h"
#include "aiot/store.h"
#include "names.h"

static const char *const phases[] = {"IDLE", "DOWNLOADING", "VERIFYING", "STAGED", "TRIAL", "COMMITTED", "ROLLED_BACK"};

const char *aiot_phase_name(aiot_phase phase) { return phases[phase]; }

void aiot_record_blank(aiot_record *record) {
  memset(record, 0, sizeof *record);
  record->active = AIOT_NO_SLOT;
  record->download.slot = AIOT_NO_SLOT;
  record->trial.slot = AIOT_NO_SLOT;
}

static int8_t read_slot(aiot_json *json) {
  const int64_t slot = aiot_json_integer(json);
  if (slot != 0 && slot != 1) json->failed = true;
  return json->failed ? AIOT_NO_SLOT : (int8_t)slot;
}

static void read_content(aiot_json *json, aiot_content *content) {
  unsigned seen = 0;
  int64_t bytes = 0;
  memset(content, 0, sizeof *content);
  if (aiot_json_null(json)) return;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "name")) {
      aiot_json_string(json, content->name, sizeof content->name);
      seen |= 1;
    } else if (aiot_json_is(json, "version")) {
      content->version = aiot_json_integer(json);
      seen |= 2;
    } else if (aiot_json_is(json, "sequence")) {
      content->sequence = aiot_json_integer(json);
      seen |= 4;
    } else if (aiot_json_is(json, "digest")) {
      aiot_read_digest(json, content->digest);
      seen |= 8;
    } else if (aiot_json_is(json, "bytes")) {
      bytes = aiot_read_integer(json, 0);
      seen |= 16;
    } else {
      aiot_json_skip(json);
    }
  }
  if (seen != 31 || bytes > UINT32_MAX) json->failed = true;
  content->bytes = (uint32_t)bytes;
  content->present = true;
}

static void read_slots(aiot_json *json, aiot_record *record) {
  size_t count = 0;
  aiot_json_enter(json, '[');
  for (; aiot_json_element(json); count++) {
    if (count < 2) read_content(json, &record->slot[count]);
    else json->failed = true;
  }
  if (count != 2) json->failed = true;
}

static void read_download(aiot_json *json, aiot_record *record) {
  unsigned seen = 0;
  record->download.slot = AIOT_NO_SLOT;
  if (aiot_json_null(json)) return;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "slot")) {
      record->download.slot = read_slot(json);
      seen |= 1;
    } else if (aiot_json_is(json, "digest")) {
      aiot_read_digest(json, record->download.digest);
      seen |= 2;
    } else {
      aiot_json_skip(json);
    }
  }
  if (seen != 3) json->failed = true;
}

static void read_trial(aiot_json *json, aiot_record *record) {
  unsigned seen = 0;
  record->trial.slot = AIOT_NO_SLOT;
  if (aiot_json_null(json)) return;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "slot")) {
      record->trial.slot = read_slot(json);
      seen |= 1;
    } else if (aiot_json_is(json, "rollout")) {
      aiot_json_string(json, record->trial.rollout, sizeof record->trial.rollout);
      seen |= 2;
    } else if (aiot_json_is(json, "floor")) {
      record->trial.floor = aiot_json_integer(json);
      seen |= 4;
    } else if (aiot_json_is(json, "tries")) {
      record->trial.tries = aiot_json_integer(json);
      seen |= 8;
    } else if (aiot_json_is(json, "secureVersion")) {
      record->trial.secure_version = aiot_json_integer(json);
    } else {
      aiot_json_skip(json);
    }
  }
  if (seen != 15) json->failed = true;
}

static void read_error(aiot_json *json, aiot_error *error) {
  unsigned seen = 0;
  memset(error, 0, sizeof *error);
  if (aiot_json_null(json)) return;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "code")) {
      aiot_json_text(json, error->code, sizeof error->code);
      seen |= 1;
    } else if (aiot_json_is(json, "message")) {
      aiot_json_text(json, error->message, sizeof error->message);
      seen |= 2;
    } else {
      aiot_json_skip(json);
    }
  }
  if (seen != 3) json->failed = true;
}

static aiot_phase read_ended(aiot_json *json) {
  char text[16];
  aiot_json_string(json, text, sizeof text);
  if (strcmp(text, phases[AIOT_PHASE_IDLE]) == 0) return AIOT_PHASE_IDLE;
  if (strcmp(text, phases[AIOT_PHASE_COMMITTED]) == 0) return AIOT_PHASE_COMMITTED;
  if (strcmp(text, phases[AIOT_PHASE_ROLLED_BACK]) != 0) json->failed = true;
  return AIOT_PHASE_ROLLED_BACK;
}

static void read_last(aiot_json *json, aiot_record *record) {
  unsigned seen = 0;
  record->last.present = !aiot_json_null(json);
  if (!record->last.present) return;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "rollout")) {
      aiot_json_string(json, record->last.rollout, sizeof record->last.rollout);
      seen |= 1;
    } else if (aiot_json_is(json, "state")) {
      record->last.state = read_ended(json);
      seen |= 2;
    } else if (aiot_json_is(json, "error")) {
      read_error(json, &record->last.error);
      seen |= 4;
    } else {
      aiot_json_skip(json);
    }
  }
  if (seen != 7) json->failed = true;
}

bool aiot_record_read(aiot_record *record, const void *text, size_t bytes) {
  unsigned seen = 0;
  aiot_json json;
  aiot_record_blank(record);
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "floor")) {
      record->floor = aiot_json_integer(&json);
      seen |= 1;
    } else if (aiot_json_is(&json, "sequence")) {
      record->sequence = aiot_json_integer(&json);
      seen |= 2;
    } else if (aiot_json_is(&json, "newestSigned")) {
      record->newest_signed = aiot_json_integer(&json);
      seen |= 4;
    } else if (aiot_json_is(&json, "epoch")) {
      record->epoch = aiot_json_integer(&json);
    } else if (aiot_json_is(&json, "secureVersion")) {
      record->secure_version = aiot_json_integer(&json);
    } else if (aiot_json_is(&json, "active")) {
      record->active = aiot_json_null(&json) ? AIOT_NO_SLOT : read_slot(&json);
      seen |= 8;
    } else if (aiot_json_is(&json, "slots")) {
      read_slots(&json, record);
      seen |= 16;
    } else if (aiot_json_is(&json, "download")) {
      read_download(&json, record);
      seen |= 32;
    } else if (aiot_json_is(&json, "trial")) {
      read_trial(&json, record);
      seen |= 64;
    } else if (aiot_json_is(&json, "last")) {
      read_last(&json, record);
      seen |= 128;
    } else {
      aiot_json_skip(&json);
    }
  }
  return aiot_json_done(&json) && seen == 255;
}
