#include "answer.h"

#include <string.h>

#include "../base64.h"
#include "aiot/json.h"

static aiot_span take(aiot_json *json) {
  aiot_span span = {NULL, 0};
  if (aiot_json_null(json)) return span;
  span.text = aiot_json_value(json, &span.bytes);
  if (json->failed) span.text = NULL;
  return span;
}

static void read_device(aiot_enroll_answer *answer, aiot_json *json) {
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "name")) answer->device_name = take(json);
    else if (aiot_json_is(json, "id")) answer->id = take(json);
    else if (aiot_json_is(json, "type")) answer->type = take(json);
    else if (aiot_json_is(json, "chipId")) answer->chip_id = take(json);
    else aiot_json_skip(json);
  }
}

static void read_urls(aiot_enroll_answer *answer, aiot_json *json) {
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "http")) answer->http = take(json);
    else if (aiot_json_is(json, "mqtts")) answer->mqtts = take(json);
    else aiot_json_skip(json);
  }
}

static void read_release(aiot_enroll_answer *answer, aiot_json *json) {
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "sequence")) answer->sequence = aiot_json_integer(json);
    else if (aiot_json_is(json, "floor")) answer->floor = aiot_json_integer(json);
    else aiot_json_skip(json);
  }
}

static void read_identity(aiot_enroll_answer *answer, aiot_json *json) {
  if (aiot_json_null(json)) return;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "device")) read_device(answer, json);
    else if (aiot_json_is(json, "certificate")) answer->certificate = take(json);
    else if (aiot_json_is(json, "ca")) answer->ca = take(json);
    else if (aiot_json_is(json, "urls")) read_urls(answer, json);
    else if (aiot_json_is(json, "trust")) answer->trust = take(json);
    else if (aiot_json_is(json, "root")) answer->root = take(json);
    else if (aiot_json_is(json, "release")) read_release(answer, json);
    else aiot_json_skip(json);
  }
}

bool aiot_enroll_answer_read(aiot_enroll_answer *answer, const char *text, size_t bytes) {
  char state[16] = "";
  aiot_json json;
  memset(answer, 0, sizeof *answer);
  answer->retry_ms = answer->sequence = answer->floor = -1;
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "state")) aiot_json_string(&json, state, sizeof state);
    else if (aiot_json_is(&json, "name")) aiot_json_string(&json, answer->name, sizeof answer->name);
    else if (aiot_json_is(&json, "retryMs")) answer->retry_ms = aiot_json_null(&json) ? -1 : aiot_json_integer(&json);
    else if (aiot_json_is(&json, "identity")) read_identity(answer, &json);
    else aiot_json_skip(&json);
  }
  if (!aiot_json_done(&json) || answer->name[0] == '\0') return false;
  answer->issued = strcmp(state, "issued") == 0;
  return answer->issued ? answer->certificate.text != NULL : strcmp(state, "waiting") == 0;
}

bool aiot_span_string(const aiot_span *span, char *out, size_t room) {
  aiot_json json;
  out[0] = '\0';
  if (span->text == NULL) return false;
  aiot_json_begin(&json, span->text, span->bytes);
  aiot_json_string(&json, out, room);
  return aiot_json_done(&json) && out[0] != '\0';
}

static bool is_pem(const aiot_span *span, char *scratch) {
  return aiot_span_string(span, scratch, AIOT_ENROLL_PEM_BYTES) && strncmp(scratch, "-----BEGIN CERTIFICATE-----\n", 28) == 0;
}

static bool is_url(const aiot_span *span, const char *scheme, char *scratch) {
  return aiot_span_string(span, scratch, AIOT_ENROLL_URL_BYTES) && strncmp(scratch, scheme, strlen(scheme)) == 0;
}

/* Whether the certificate in `pem`, which is overwritten, has this public key. */
static bool is_for(char *pem, const uint8_t spki[AIOT_P256_SPKI_BYTES]) {
  const size_t length = aiot_pem_body(pem, pem, AIOT_ENROLL_PEM_BYTES);
  if (length == 0 || !aiot_base64_decode(pem, length, (uint8_t *)pem)) return false;
  const size_t bytes = length / 4 * 3;
  for (size_t at = 0; at + AIOT_P256_SPKI_BYTES <= bytes; at++)
    if (memcmp(pem + at, spki, AIOT_P256_SPKI_BYTES) == 0) return true;
  return false;
}

bool aiot_enroll_answer_fits(const aiot_enroll_answer *answer, const uint8_t spki[AIOT_P256_SPKI_BYTES], char *scratch) {
  return aiot_span_string(&answer->device_name, scratch, AIOT_ID_BYTES) && strcmp(scratch, answer->name) == 0 &&
         aiot_span_string(&answer->id, scratch, AIOT_ID_BYTES) && aiot_span_string(&answer->type, scratch, AIOT_ID_BYTES) &&
         (answer->chip_id.text == NULL || aiot_span_string(&answer->chip_id, scratch, AIOT_ID_BYTES)) &&
         is_url(&answer->http, "https://", scratch) && is_url(&answer->mqtts, "mqtts://", scratch) && is_pem(&answer->ca, scratch) &&
         is_pem(&answer->certificate, scratch) && is_for(scratch, spki) && answer->sequence >= 0 && answer->floor >= 0;
}

void aiot_enroll_answer_reason(const char *text, size_t bytes, char *out, size_t room) {
  aiot_json json;
  out[0] = '\0';
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "detail")) aiot_json_text(&json, out, room);
    else aiot_json_skip(&json);
  }
  if (!aiot_json_done(&json)) out[0] = '\0';
}
