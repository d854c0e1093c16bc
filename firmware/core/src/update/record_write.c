#include <string.h>

#include "aiot/store.h"
#include "aiot/write.h"
#include "names.h"

static void write_digest(aiot_writer *w, const uint8_t digest[AIOT_SHA256_BYTES]) {
  char text[7 + 2 * AIOT_SHA256_BYTES + 1] = "sha256:";
  aiot_write_hex(digest, text + 7);
  aiot_write_key(w, "digest");
  aiot_write_text(w, text);
}

static void write_integer(aiot_writer *w, const char *key, int64_t value) {
  aiot_write_key(w, key);
  aiot_write_integer(w, value);
}

static void write_text(aiot_writer *w, const char *key, const char *value) {
  aiot_write_key(w, key);
  aiot_write_text(w, value);
}

/* Starts the member's object. If the member is not present, writes null and returns false. */
static bool begin_object(aiot_writer *w, bool present) {
  if (present) aiot_write_object(w);
  else aiot_write_null(w);
  return present;
}

static void write_content(aiot_writer *w, const aiot_content *content) {
  if (!begin_object(w, content->present)) return;
  write_text(w, "name", content->name);
  write_integer(w, "version", content->version);
  write_integer(w, "sequence", content->sequence);
  write_digest(w, content->digest);
  write_integer(w, "bytes", content->bytes);
  aiot_write_object_end(w);
}

static void write_download(aiot_writer *w, const aiot_record *r) {
  aiot_write_key(w, "download");
  if (!begin_object(w, r->download.slot != AIOT_NO_SLOT)) return;
  write_integer(w, "slot", r->download.slot);
  write_digest(w, r->download.digest);
  aiot_write_object_end(w);
}

static void write_trial(aiot_writer *w, const aiot_record *r) {
  aiot_write_key(w, "trial");
  if (!begin_object(w, r->trial.slot != AIOT_NO_SLOT)) return;
  write_integer(w, "slot", r->trial.slot);
  write_text(w, "rollout", r->trial.rollout);
  write_integer(w, "floor", r->trial.floor);
  write_integer(w, "tries", r->trial.tries);
  if (r->trial.secure_version != 0) write_integer(w, "secureVersion", r->trial.secure_version);
  aiot_write_object_end(w);
}

static void write_last(aiot_writer *w, const aiot_record *r) {
  aiot_write_key(w, "last");
  if (!begin_object(w, r->last.present)) return;
  write_text(w, "rollout", r->last.rollout);
  write_text(w, "state", aiot_phase_name(r->last.state));
  aiot_write_key(w, "error");
  if (begin_object(w, r->last.error.code[0] != 0)) {
    write_text(w, "code", r->last.error.code);
    write_text(w, "message", r->last.error.message);
    aiot_write_object_end(w);
  }
  aiot_write_object_end(w);
}

size_t aiot_record_write(const aiot_record *r, char *out, size_t room) {
  aiot_writer w;
  aiot_write_begin(&w, out, room, AIOT_ENCODING_JSON);
  aiot_write_object(&w);
  write_integer(&w, "floor", r->floor);
  write_integer(&w, "sequence", r->sequence);
  write_integer(&w, "newestSigned", r->newest_signed);
  if (r->epoch != 0) write_integer(&w, "epoch", r->epoch);
  if (r->secure_version != 0) write_integer(&w, "secureVersion", r->secure_version);
  aiot_write_key(&w, "active");
  if (r->active == AIOT_NO_SLOT) aiot_write_null(&w);
  else aiot_write_integer(&w, r->active);
  aiot_write_key(&w, "slots");
  aiot_write_array(&w);
  write_content(&w, &r->slot[0]);
  write_content(&w, &r->slot[1]);
  aiot_write_array_end(&w);
  write_download(&w, r);
  write_trial(&w, r);
  write_last(&w, r);
  aiot_write_object_end(&w);
  return aiot_write_end(&w);
}
