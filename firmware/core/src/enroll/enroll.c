#include "aiot/enroll.h"

#include <stdio.h>
#include <string.h>

#include "aiot/write.h"
#include "answer.h"
#include "request.h"
#include "store.h"

static const char batch[] = "aiot_batch", path[] = "/api/v1/enrollments";

/* BATCH_KEY_BYTES: longest key that the platform accepts, with its NUL. BODY_BYTES: a request with strings of the largest size. */
enum { BATCH_KEY_BYTES = 201, BODY_BYTES = 1280 };

/* Times in ms. FIRST: latest first request, so that boards that are switched on together do not ask together. */
enum {
  FIRST = 2000,
  LEAST = 1000,
  HOUR = 3600000,
  /* Pause of a device that waits, if the platform names none. */
  RETRY = 10000,
  FAILED_FIRST = 5000,
  FAILED_MOST = 600000,
  /* Longest duration of a request. */
  REQUEST = 60000
};

struct aiot_enroll_work {
  char key[AIOT_ENROLL_KEY_BYTES];
  uint8_t spki[AIOT_P256_SPKI_BYTES];
  char body[BODY_BYTES];
  aiot_trust trust;
  aiot_enroll_answer answer;
  union {
    char batch_key[BATCH_KEY_BYTES];
    char text[AIOT_ENROLL_PEM_BYTES];
  } scratch;
  char request[AIOT_REQUEST_PEM_BYTES];
};
_Static_assert(sizeof(struct aiot_enroll_work) + 4096 <= AIOT_ENROLL_MEMORY_BYTES, "the memory has room for a short response");

static uint32_t random_up_to(const aiot_enroll *enroll, uint32_t most) {
  uint32_t random;
  enroll->setup.crypto->random(enroll->setup.crypto->context, &random, sizeof random);
  return (uint32_t)((uint64_t)random * most >> 32);
}

/* Ends the request, and reports the news unless they are known. */
static void pause(aiot_enroll *enroll, uint64_t now_ms, uint32_t ms, aiot_enroll_news news, const char *reason) {
  const aiot_enroll_setup *setup = &enroll->setup;
  setup->post->close(setup->post->context);
  enroll->asking = false;
  enroll->next_ms = now_ms + ms;
  if (enroll->told == (int)news && strcmp(enroll->reason, reason) == 0) return;
  enroll->told = (int)news;
  snprintf(enroll->reason, sizeof enroll->reason, "%s", reason);
  if (setup->news != NULL) setup->news(setup->context, news, enroll->reason, ms);
}

/* Waits for at least `ms`, but never for longer than an hour and a third. */
static void pause_about(aiot_enroll *enroll, uint64_t now_ms, int64_t ms, aiot_enroll_news news, const char *reason) {
  const uint32_t least = ms < LEAST ? LEAST : ms > HOUR ? HOUR : (uint32_t)ms;
  enroll->failures = 0;
  pause(enroll, now_ms, least + random_up_to(enroll, least / 3), news, reason);
}

/* Waits 5 s, 10 s, 20 s and so on, up to ten minutes. Each pause is shortened by a random share of up to a half. */
static void back_off(aiot_enroll *enroll, uint64_t now_ms, aiot_enroll_news news, const char *reason) {
  const uint32_t doubled = enroll->failures < 7 ? (uint32_t)FAILED_FIRST << enroll->failures : FAILED_MOST;
  const uint32_t most = doubled < FAILED_MOST ? doubled : FAILED_MOST;
  if (enroll->failures < 7) enroll->failures++;
  pause(enroll, now_ms, most - random_up_to(enroll, most / 2), news, reason);
}

/* Writes the request, which stays the same until the device has its identity. */
static bool write_body(aiot_enroll *enroll) {
  const aiot_enroll_setup *setup = &enroll->setup;
  struct aiot_enroll_work *work = enroll->work;
  aiot_writer writer;
  if (aiot_request_pem(setup->keys, setup->crypto, work->key, setup->serial, work->request) == 0) return false;
  aiot_write_begin(&writer, work->body, sizeof work->body, AIOT_ENCODING_JSON);
  aiot_write_object(&writer);
  aiot_write_key(&writer, "key");
  aiot_write_text(&writer, work->scratch.batch_key);
  aiot_write_key(&writer, "csr");
  aiot_write_text(&writer, work->request);
  aiot_write_key(&writer, "serial");
  aiot_write_text(&writer, setup->serial);
  if (setup->mac != NULL) {
    aiot_write_key(&writer, "mac");
    aiot_write_text(&writer, setup->mac);
  }
  aiot_write_object_end(&writer);
  enroll->body_bytes = aiot_write_end(&writer);
  return enroll->body_bytes > 0;
}

/* Reads the device's key, or creates and stores it. A key that cannot be read is never replaced. */
static bool own_key(aiot_enroll *enroll) {
  const aiot_enroll_setup *setup = &enroll->setup;
  const aiot_settings *settings = setup->settings;
  struct aiot_enroll_work *work = enroll->work;
  const int32_t length = settings->text(settings->context, "aiot", "key", work->key, sizeof work->key);
  if (length == AIOT_SETTING_ABSENT)
    return aiot_request_key(setup->keys, work->key) && aiot_request_spki(work->key, work->spki) && settings->put_text(settings->context, "aiot", "key", work->key);
  return length > 0 && aiot_request_spki(work->key, work->spki);
}

aiot_enroll_state aiot_enroll_open(aiot_enroll *enroll, const aiot_enroll_setup *setup, uint64_t now_ms) {
  memset(enroll, 0, sizeof *enroll);
  enroll->setup = *setup;
  enroll->told = -1;
  if (setup->memory == NULL || setup->bytes < AIOT_ENROLL_MEMORY_BYTES) return AIOT_ENROLL_UNUSABLE;
  enroll->work = setup->memory;
  enroll->answer = (char *)setup->memory + sizeof *enroll->work;
  enroll->room = setup->bytes - sizeof *enroll->work;
  memset(enroll->work, 0, sizeof *enroll->work);
  char *key = enroll->work->scratch.batch_key;
  const int32_t length = setup->settings->text(setup->settings->context, batch, "key", key, BATCH_KEY_BYTES);
  if (length == AIOT_SETTING_ABSENT) return AIOT_ENROLL_NONE;
  if (length <= 0 || !own_key(enroll) || !write_body(enroll)) return AIOT_ENROLL_UNUSABLE;
  enroll->next_ms = now_ms + random_up_to(enroll, FIRST);
  return AIOT_ENROLL_RUNS;
}

bool aiot_enroll_forget(const aiot_settings *settings) { return settings->erase(settings->context, batch); }

static aiot_enroll_state issued(aiot_enroll *enroll, uint64_t now_ms) {
  struct aiot_enroll_work *work = enroll->work;
  aiot_store_result result = AIOT_STORE_INVALID;
  if (aiot_enroll_answer_fits(&work->answer, work->spki, work->scratch.text))
    result = aiot_enroll_store(&enroll->setup, &work->answer, &work->trust, work->scratch.text);
  switch (result) {
    case AIOT_STORED:
      pause(enroll, now_ms, 0, AIOT_ENROLL_STORED, work->answer.name);
      /* If this fails, the next start tries again. */
      aiot_enroll_forget(enroll->setup.settings);
      memset(work, 0, sizeof *work);
      return AIOT_ENROLL_DONE;
    case AIOT_STORE_FAILED:
      back_off(enroll, now_ms, AIOT_ENROLL_UNSTORED, "NVS is full or damaged");
      return AIOT_ENROLL_RUNS;
    case AIOT_STORE_INVALID:
      break;
  }
  back_off(enroll, now_ms, AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key");
  return AIOT_ENROLL_RUNS;
}

/* Evaluates a complete response. */
static aiot_enroll_state judge(aiot_enroll *enroll, uint64_t now_ms) {
  const aiot_enroll_setup *setup = &enroll->setup;
  aiot_enroll_answer *answer = &enroll->work->answer;
  const int status = setup->post->status(setup->post->context);
  const int64_t after_ms = (int64_t)setup->post->retry_after_s(setup->post->context) * 1000;
  char reason[AIOT_ENROLL_REASON_BYTES];
  if (status == 200) {
    if (!aiot_enroll_answer_read(answer, enroll->answer, enroll->used)) back_off(enroll, now_ms, AIOT_ENROLL_MALFORMED, "the response is malformed");
    else if (answer->issued) return issued(enroll, now_ms);
    else pause_about(enroll, now_ms, answer->retry_ms < 0 ? RETRY : answer->retry_ms, AIOT_ENROLL_WAITS, answer->name);
    return AIOT_ENROLL_RUNS;
  }
  aiot_enroll_answer_reason(enroll->answer, enroll->used, reason, sizeof reason);
  if (reason[0] == '\0') snprintf(reason, sizeof reason, "status %d", status);
  /* Without Retry-After, these are failures of the platform or of a proxy. */
  if ((status == 429 || status == 503) && after_ms > 0) pause_about(enroll, now_ms, after_ms, AIOT_ENROLL_LIMITED, "too many requests");
  else if (status == 429) pause_about(enroll, now_ms, 60000, AIOT_ENROLL_LIMITED, "too many requests");
  else if (status >= 400 && status < 500 && status != 408) pause_about(enroll, now_ms, HOUR, AIOT_ENROLL_REFUSED, reason);
  else back_off(enroll, now_ms, AIOT_ENROLL_UNREACHABLE, reason);
  return AIOT_ENROLL_RUNS;
}

static aiot_enroll_state proceed(aiot_enroll *enroll, uint64_t now_ms) {
  const aiot_post *post = enroll->setup.post;
  if (enroll->used == enroll->room) {
    back_off(enroll, now_ms, AIOT_ENROLL_MALFORMED, "the response is too long");
    return AIOT_ENROLL_RUNS;
  }
  const int32_t got = post->read(post->context, enroll->answer + enroll->used, enroll->room - enroll->used);
  if (got == AIOT_HTTP_END) return judge(enroll, now_ms);
  if (got > 0) enroll->used += (size_t)got;
  if (got < 0 || now_ms - enroll->asked_ms > REQUEST) back_off(enroll, now_ms, AIOT_ENROLL_UNREACHABLE, "the connection was lost");
  return AIOT_ENROLL_RUNS;
}

aiot_enroll_state aiot_enroll_step(aiot_enroll *enroll, uint64_t now_ms, bool online) {
  const aiot_post *post = enroll->setup.post;
  if (enroll->asking) return proceed(enroll, now_ms);
  if (!online || now_ms < enroll->next_ms) return AIOT_ENROLL_RUNS;
  enroll->used = 0;
  enroll->asked_ms = now_ms;
  enroll->asking = post->post(post->context, path, enroll->work->body, enroll->body_bytes);
  if (!enroll->asking) back_off(enroll, now_ms, AIOT_ENROLL_UNREACHABLE, "the platform cannot be reached");
  return AIOT_ENROLL_RUNS;
}
