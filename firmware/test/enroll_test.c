/*
 * Enrollment on simulated settings and a simulated platform, which checks requests and issues certificates with OpenSSL. Power is cut at
 * every change of a setting. The device must never send a second key, and must end with a complete identity and without the batch's key.
 */
#include "aiot/enroll.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/json.h"
#include "aiot/trust.h"
#include "aiot/write.h"
#include "check.h"
#include "crypto_openssl.h"
#include "enroll_keys.h"
#include "roots.h"

enum { ENTRIES = 64, VALUE = 2048, STEP_MS = 100, MINUTE = 60000, HOUR = 3600000, MEMORY = 40 * 1024 };

static const char serial[] = "240ac4123456", batch_key[] = "aiotbatch_0123456789abcdefghijklmnopqrstuvwxyz";

/* ---- Settings ---- */

typedef struct {
  char space[16], key[16];
  uint8_t value[VALUE];
  size_t bytes;
} entry;

/* Whether an interrupted change is done: not at all, in part (only an erase), or completely. */
typedef enum { CUT_BEFORE, CUT_WITHIN, CUT_AFTER, CUTS } cut;

static struct {
  entry entry[ENTRIES];
  size_t count;
  /* Number of changes since power-on, and the one at which power is cut or that fails; 0 = none. */
  uint32_t changes, cut_at, fail_at;
  cut how;
  bool off, unreadable;
} nvs;

static entry *find(const char *space, const char *key) {
  for (size_t i = 0; i < nvs.count; i++)
    if (strcmp(nvs.entry[i].space, space) == 0 && strcmp(nvs.entry[i].key, key) == 0) return &nvs.entry[i];
  return NULL;
}

static void put(const char *space, const char *key, const void *value, size_t bytes) {
  entry *at = find(space, key);
  if (at == NULL) at = &nvs.entry[nvs.count++];
  if (nvs.count > ENTRIES || bytes > VALUE) abort();
  snprintf(at->space, sizeof at->space, "%s", space);
  snprintf(at->key, sizeof at->key, "%s", key);
  memcpy(at->value, value, bytes);
  at->bytes = bytes;
}

static bool is_text(const char *space, const char *key, const char *expected) {
  const entry *at = find(space, key);
  return at != NULL && strcmp((const char *)at->value, expected) == 0;
}

/* Counts a change. Returns how much of it is done. `worked`: the function's result. */
static cut change(bool *worked) {
  *worked = false;
  if (nvs.off) return CUT_BEFORE;
  nvs.changes++;
  if (nvs.changes == nvs.fail_at) return CUT_BEFORE;
  nvs.off = nvs.changes == nvs.cut_at;
  *worked = !nvs.off;
  return nvs.off ? nvs.how : CUT_AFTER;
}

static int32_t text(void *context, const char *space, const char *key, char *out, size_t room) {
  (void)context;
  if (nvs.off || nvs.unreadable) return AIOT_SETTING_FAILED;
  const entry *at = find(space, key);
  if (at == NULL) return AIOT_SETTING_ABSENT;
  if (at->bytes > room) return AIOT_SETTING_FAILED;
  memcpy(out, at->value, at->bytes);
  return (int32_t)at->bytes - 1;
}

static bool put_blob(void *context, const char *space, const char *key, const void *value, size_t bytes) {
  (void)context;
  bool worked;
  /* An entry of NVS is either stored completely or not at all. */
  if (change(&worked) == CUT_AFTER) put(space, key, value, bytes);
  return worked;
}

static bool put_text(void *context, const char *space, const char *key, const char *value) { return put_blob(context, space, key, value, strlen(value) + 1); }

static bool put_number(void *context, const char *space, const char *key, int bits, uint64_t value) {
  return put_blob(context, space, key, &value, (size_t)bits / 8);
}

static bool erase(void *context, const char *space) {
  (void)context;
  bool worked;
  const cut how = change(&worked);
  size_t left = 0;
  for (size_t i = 0; i < nvs.count; i++) {
    const bool erased = strcmp(nvs.entry[i].space, space) == 0 && (how == CUT_AFTER || (how == CUT_WITHIN && i % 2 == 0));
    if (!erased) nvs.entry[left++] = nvs.entry[i];
  }
  nvs.count = left;
  return worked;
}

static const aiot_settings settings = {NULL, text, put_text, put_number, put_blob, erase};

/* ---- The platform ---- */

typedef enum {
  HEALTHY, WAITS, WAITS_LONG, WAITS_SHORT, WAITS_UNTOLD, REFUSES, REVOKED, LIMITS, LIMITS_UNTOLD, BUSY, BROKEN, UNREACHABLE, CUT_OFF, SILENT,
  EMPTY, GARBAGE, ARRAY, UNKNOWN_STATE, NO_IDENTITY, NO_NAME, TRUNCATED, OVERSIZED, OTHER_KEY, OTHER_NAME, LONG_URL, PLAIN_HTTP, LONG_PEM, NO_PEM, BAD_TRUST, BAD_ROOT, FORGED_ROOT, HUGE_ROOT,
  NEGATIVE_RELEASE, REDIRECT
} mood;

static struct {
  mood mood;
  /* Request at which it becomes healthy; 0 = never. */
  unsigned healthy_at;
  unsigned requests, second_keys, bad_requests;
  uint64_t asked_at[400];
  /* SPKI of the first request, and the certificate that was issued for it. */
  uint8_t spki[256];
  size_t spki_bytes;
  char certificate[2048];
  char response[65536];
  size_t bytes, at;
  int status;
  uint32_t retry_after_s;
  bool open;
} platform;

static EVP_PKEY *issuer;
static signing_key signer;
static char ca[2048], trust_text[1024], root[ROOT_TEXT_BYTES], forged[ROOT_TEXT_BYTES];
static uint64_t now_ms;

static void issue(EVP_PKEY *key, char out[2048]) {
  X509 *certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 7);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, (const uint8_t *)"july-240ac4123456", -1, -1, 0);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, issuer, EVP_sha256());
  BIO *to = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(to, certificate);
  const int bytes = BIO_read(to, out, 2047);
  out[bytes < 0 ? 0 : bytes] = '\0';
  BIO_free(to);
  X509_free(certificate);
}

/* Checks a request with OpenSSL: its signature, its subject, and that it has the key of the first request. */
static bool check_request(const char *pem) {
  BIO *from = BIO_new_mem_buf(pem, -1);
  X509_REQ *request = PEM_read_bio_X509_REQ(from, NULL, NULL, NULL);
  EVP_PKEY *key = request == NULL ? NULL : X509_REQ_get0_pubkey(request);
  char name[80] = "";
  bool good = key != NULL && X509_REQ_verify(request, key) == 1 &&
              X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(request), NID_commonName, name, sizeof name) > 0 && strcmp(name, serial) == 0 &&
              X509_REQ_get_attr_count(request) == 0 && X509_REQ_get_version(request) == X509_REQ_VERSION_1;
  uint8_t *spki = NULL;
  const int bytes = good ? i2d_PUBKEY(key, &spki) : 0;
  if (good && platform.spki_bytes == 0) {
    memcpy(platform.spki, spki, (size_t)bytes);
    platform.spki_bytes = (size_t)bytes;
    issue(key, platform.certificate);
  } else if (good && ((size_t)bytes != platform.spki_bytes || memcmp(spki, platform.spki, platform.spki_bytes) != 0)) {
    platform.second_keys++;
    good = false;
  }
  OPENSSL_free(spki);
  X509_REQ_free(request);
  BIO_free(from);
  return good;
}

static void check_body(const char *body, size_t bytes) {
  char key[256] = "", csr[1024] = "", told[64] = "", mac[32] = "";
  aiot_json json;
  aiot_json_begin(&json, body, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "key")) aiot_json_string(&json, key, sizeof key);
    else if (aiot_json_is(&json, "csr")) aiot_json_string(&json, csr, sizeof csr);
    else if (aiot_json_is(&json, "serial")) aiot_json_string(&json, told, sizeof told);
    else if (aiot_json_is(&json, "mac")) aiot_json_string(&json, mac, sizeof mac);
    else json.failed = true;
  }
  const bool good = aiot_json_done(&json) && strcmp(key, batch_key) == 0 && strcmp(told, serial) == 0 && strcmp(mac, "24:0a:c4:12:34:56") == 0;
  if (!good || !check_request(csr)) platform.bad_requests++;
}

static void write_identity(aiot_writer *w, mood is) {
  static char other[2048], longest[4096];
  EVP_PKEY *key = is == OTHER_KEY ? EVP_EC_gen("P-256") : NULL;
  if (key != NULL) issue(key, other);
  EVP_PKEY_free(key);
  memset(longest, 'A', sizeof longest - 1);
  memcpy(longest, is == LONG_URL ? "https://" : "-----BEGIN CERTIFICATE-----\n", is == LONG_URL ? 8 : 28);
  aiot_write_object(w);
  aiot_write_key(w, "device");
  aiot_write_object(w);
  aiot_write_key(w, "id"), aiot_write_text(w, "dev_1");
  aiot_write_key(w, "name"), aiot_write_text(w, is == OTHER_NAME ? "someone" : "july-240ac4123456");
  aiot_write_key(w, "type"), aiot_write_text(w, "esp32c3");
  aiot_write_key(w, "tags"), aiot_write_object(w), aiot_write_object_end(w);
  aiot_write_key(w, "chipId"), aiot_write_text(w, "1193046");
  aiot_write_object_end(w);
  aiot_write_key(w, "certificate"), aiot_write_text(w, is == OTHER_KEY ? other : is == LONG_PEM ? longest : is == NO_PEM ? "none" : platform.certificate);
  aiot_write_key(w, "ca"), aiot_write_text(w, ca);
  aiot_write_key(w, "urls");
  aiot_write_object(w);
  aiot_write_key(w, "http"), aiot_write_text(w, is == LONG_URL ? longest : is == PLAIN_HTTP ? "http://platform:8080" : "https://platform:8443");
  aiot_write_key(w, "mqtts"), aiot_write_text(w, "mqtts://platform:8883");
  aiot_write_object_end(w);
}

static void write_response(void) {
  aiot_writer w;
  const mood is = platform.mood;
  const bool issued = is == HEALTHY || is >= NO_IDENTITY;
  aiot_write_begin(&w, platform.response, sizeof platform.response, AIOT_ENCODING_JSON);
  aiot_write_object(&w);
  aiot_write_key(&w, "state"), aiot_write_text(&w, is == UNKNOWN_STATE ? "lost" : issued ? "issued" : "waiting");
  if (is != NO_NAME) aiot_write_key(&w, "name"), aiot_write_text(&w, "july-240ac4123456");
  aiot_write_key(&w, "retryMs");
  if (issued || is == WAITS_UNTOLD) aiot_write_null(&w);
  else aiot_write_integer(&w, is == WAITS_LONG ? INT64_C(1) << 52 : is == WAITS_SHORT ? 0 : 5000);
  aiot_write_key(&w, "identity");
  if (!issued || is == NO_IDENTITY) aiot_write_null(&w), aiot_write_object_end(&w);
  else write_identity(&w, is);
  platform.bytes = aiot_write_end(&w);
  if (!issued || is == NO_IDENTITY) return;
  static char huge[20000];
  memset(huge, ' ', sizeof huge - 1);
  huge[0] = '{';
  huge[sizeof huge - 2] = '}';
  platform.bytes += (size_t)snprintf(platform.response + platform.bytes, sizeof platform.response - platform.bytes,
                                     ",\"trust\":%s,\"root\":%s,\"release\":{\"sequence\":0,\"floor\":%d}}}", is == BAD_TRUST ? "{\"spec\":1}" : trust_text,
                                     is == BAD_ROOT ? "{\"payload\":1}" : is == FORGED_ROOT ? forged : is == HUGE_ROOT ? huge : root, is == NEGATIVE_RELEASE ? -3 : 3);
}

static void say(int status, const char *response) {
  platform.status = status;
  platform.bytes = (size_t)snprintf(platform.response, sizeof platform.response, "%s", response);
}

static bool post(void *context, const char *path, const char *body, size_t bytes) {
  (void)context;
  if (strcmp(path, "/api/v1/enrollments") != 0 || platform.open) platform.bad_requests++;
  if (platform.requests < 400) platform.asked_at[platform.requests] = now_ms;
  platform.requests++;
  if (platform.healthy_at != 0 && platform.requests >= platform.healthy_at) platform.mood = HEALTHY;
  if (platform.mood == UNREACHABLE) return false;
  check_body(body, bytes);
  platform.open = true;
  platform.at = 0;
  platform.status = 200;
  platform.retry_after_s = 0;
  write_response();
  switch (platform.mood) {
    case REFUSES: say(409, "{\"code\":\"AIOT_ENROLLMENT_REFUSED\",\"detail\":\"the serial number belongs to another key\"}"); break;
    case REVOKED: say(409, "{\"code\":\"AIOT_ENROLLMENT_REFUSED\",\"detail\":\"the batch july was revoked\"}"); break;
    case LIMITS_UNTOLD: say(429, "{}"); break;
    case BUSY: say(503, "<html>"); break;
    case BROKEN: say(500, ""); break;
    case REDIRECT: say(302, ""); break;
    case EMPTY: say(200, ""); break;
    case GARBAGE: say(200, "<html>\x01\xff"); break;
    case ARRAY: say(200, "[[[[[[[[[[[[[[[[[[[["); break;
    case TRUNCATED: platform.bytes -= 40; break;
    case OVERSIZED: memset(platform.response, ' ', sizeof platform.response); platform.bytes = sizeof platform.response; break;
    default: break;
  }
  if (platform.mood == LIMITS) {
    say(429, "{}");
    platform.retry_after_s = 90;
  }
  return true;
}

static int32_t read_response(void *context, void *out, size_t bytes) {
  (void)context;
  if (platform.mood == SILENT) return 0;
  if (platform.mood == CUT_OFF && platform.at > 20) return AIOT_HTTP_BROKEN;
  const size_t left = platform.bytes - platform.at, most = left < bytes ? left : bytes, count = most < 700 ? most : 700;
  if (left == 0) return AIOT_HTTP_END;
  memcpy(out, platform.response + platform.at, count);
  platform.at += count;
  return (int32_t)count;
}

static int status(void *context) {
  (void)context;
  return platform.status;
}

static uint32_t retry_after_s(void *context) {
  (void)context;
  return platform.retry_after_s;
}

static void close_request(void *context) {
  (void)context;
  platform.open = false;
}

static const aiot_post port = {NULL, post, read_response, status, retry_after_s, close_request};

/* ---- The device ---- */

static struct {
  aiot_enroll_news news;
  char reason[AIOT_ENROLL_REASON_BYTES];
  unsigned count;
  uint32_t pause_ms;
} told;

static void on_news(void *context, aiot_enroll_news news, const char *reason, uint32_t pause_ms) {
  (void)context;
  told.news = news;
  told.count++;
  told.pause_ms = pause_ms;
  snprintf(told.reason, sizeof told.reason, "%s", reason);
}

static bool is_complete(void) {
  static const char *const keys[] = {"name", "id", "type", "chip", "chip_id", "http", "mqtts", "ca", "certificate", "key", "layout", "model_slot"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (find("aiot", keys[i]) == NULL) return false;
  return true;
}

/* The same test as the chip's, which looks for the name last. */
static bool has_identity(void) { return find("aiot", "name") != NULL; }

static uint8_t *memory;

/* One power-on. Ends when the device has its identity, the power is cut, or the time is over. */
static aiot_enroll_state run(uint64_t for_ms) {
  static aiot_enroll enroll;
  const aiot_enroll_setup setup = {.settings = &settings, .keys = &enroll_keys, .crypto = &aiot_crypto_openssl, .post = &port, .serial = serial,
                                   .mac = "24:0a:c4:12:34:56", .chip = "esp32c3", .memory = memory, .bytes = MEMORY, .news = on_news};
  nvs.off = false;
  nvs.changes = 0;
  platform.open = false;
  memset(memory, 0xa5, MEMORY);
  const uint64_t end = now_ms + for_ms;
  if (has_identity()) {
    aiot_enroll_forget(&settings);
    return nvs.off ? AIOT_ENROLL_RUNS : AIOT_ENROLL_DONE;
  }
  aiot_enroll_state state = aiot_enroll_open(&enroll, &setup, now_ms);
  for (; state == AIOT_ENROLL_RUNS && now_ms < end && !nvs.off; now_ms += STEP_MS) state = aiot_enroll_step(&enroll, now_ms, true);
  return nvs.off ? AIOT_ENROLL_RUNS : state;
}

static void start(mood first) {
  memset(&nvs, 0, sizeof nvs);
  memset(&platform, 0, sizeof platform);
  memset(&told, 0, sizeof told);
  platform.mood = first;
  put("aiot_batch", "key", batch_key, sizeof batch_key);
  put("aiot_batch", "http", "https://platform:8443", 22);
  put("wifi", "ssid", "hall", 5);
  /* Parts of a longer root, from an attempt that was interrupted. */
  for (int i = 0; i < 12; i++) {
    char name[8];
    snprintf(name, sizeof name, "root%d", i);
    put("aiot_trust", name, "old", 3);
  }
}

/* Whether the stored private key is that of the request and of the certificate. */
static bool key_matches(void) {
  const entry *key = find("aiot", "key"), *certificate = find("aiot", "certificate");
  if (key == NULL || certificate == NULL) return false;
  BIO *from = BIO_new_mem_buf(key->value, -1), *other = BIO_new_mem_buf(certificate->value, -1);
  EVP_PKEY *private_key = PEM_read_bio_PrivateKey(from, NULL, NULL, NULL);
  X509 *parsed = PEM_read_bio_X509(other, NULL, NULL, NULL);
  const bool good = private_key != NULL && parsed != NULL && X509_check_private_key(parsed, private_key) == 1;
  EVP_PKEY_free(private_key);
  X509_free(parsed);
  BIO_free(from);
  BIO_free(other);
  return good;
}

static void check_end(checks *c, const char *what, size_t row) {
  check_at(c, what, "complete", row, is_complete() && key_matches());
  check_at(c, what, "name", row, is_text("aiot", "name", "july-240ac4123456") && is_text("aiot", "mqtts", "mqtts://platform:8883"));
  check_at(c, what, "one key", row, platform.second_keys == 0 && platform.bad_requests == 0);
  check_at(c, what, "the batch's key is deleted", row, find("aiot_batch", "key") == NULL && find("aiot_batch", "http") == NULL);
  check_at(c, what, "other settings remain", row, is_text("wifi", "ssid", "hall"));
  /* The root, put together from its pieces, is the one that was sent. */
  static char whole[ROOT_TEXT_BYTES];
  size_t used = 0;
  for (unsigned i = 0;; i++) {
    char name[8];
    snprintf(name, sizeof name, "root%u", i);
    const entry *piece = find("aiot_trust", name);
    if (piece == NULL || used + piece->bytes > sizeof whole) break;
    memcpy(whole + used, piece->value, piece->bytes);
    used += piece->bytes;
  }
  check_at(c, what, "root", row, used == strlen(root) && memcmp(whole, root, used) == 0);
  const entry *key = find("aiot_trust", "key0"), *floor = find("aiot_update", "floor");
  check_at(c, what, "trust", row, key != NULL && key->bytes == signer.spki_bytes && memcmp(key->value, signer.spki, key->bytes) == 0);
  check_at(c, what, "floor", row, floor != NULL && floor->bytes == 8 && floor->value[0] == 3);
}

static bool contains(const uint8_t *bytes, size_t count, const char *what) {
  const size_t length = strlen(what);
  for (size_t i = 0; i + length <= count; i++)
    if (memcmp(bytes + i, what, length) == 0) return true;
  return false;
}

static void healthy(checks *c) {
  start(HEALTHY);
  check_at(c, "healthy", "done", 0, run(MINUTE) == AIOT_ENROLL_DONE && platform.requests == 1 && told.news == AIOT_ENROLL_STORED);
  check_end(c, "healthy", 0);
  check_at(c, "healthy", "no secret stays in memory", 0, !contains(memory, MEMORY, "PRIVATE KEY") && !contains(memory, MEMORY, batch_key));
  const unsigned before = platform.requests;
  check_at(c, "healthy", "the next start does not ask again", 0, run(MINUTE) == AIOT_ENROLL_DONE && platform.requests == before);
  memset(&nvs, 0, sizeof nvs);
  check_at(c, "healthy", "without a batch", 0, run(MINUTE) == AIOT_ENROLL_NONE && platform.requests == before);
}

/* Power is cut at each change; then at each change of the first run and each of the second. Returns the number of cuts. */
static unsigned cut_power(checks *c) {
  unsigned cuts = 0;
  start(HEALTHY);
  run(MINUTE);
  const uint32_t changes = nvs.changes;
  for (uint32_t first = 1; first <= changes; first++) {
    for (uint32_t second = 0; second <= changes; second += second == 0 ? 1 : 3) {
      for (unsigned how = 0; how < CUTS; how++) {
        start(HEALTHY);
        nvs.how = (cut)how;
        nvs.cut_at = first;
        run(MINUTE);
        check_at(c, "cut", "a name means a complete identity", first, !has_identity() || (is_complete() && key_matches()));
        nvs.cut_at = second;
        if (second > 0) run(MINUTE);
        nvs.cut_at = 0;
        const bool done = run(MINUTE) == AIOT_ENROLL_DONE;
        check_at(c, "cut", "done", first * 100 + second, done);
        check_end(c, "cut", first * 100 + second);
        cuts += second > 0 ? 2 : 1;
      }
    }
  }
  /* While it waits, too: the key stays the same over any number of starts. */
  start(WAITS);
  for (int i = 0; i < 20; i++) run(7000);
  platform.mood = HEALTHY;
  check_at(c, "cut", "after many starts", 0, run(MINUTE) == AIOT_ENROLL_DONE && platform.requests > 20);
  check_end(c, "cut after many starts", 0);
  return cuts;
}

/* Each change fails once, as in a worn flash. */
static void fail_changes(checks *c) {
  start(HEALTHY);
  run(MINUTE);
  const uint32_t changes = nvs.changes;
  for (uint32_t at = 1; at <= changes; at++) {
    start(HEALTHY);
    nvs.fail_at = at;
    aiot_enroll_state state = run(5 * MINUTE);
    nvs.fail_at = 0;
    /* Without a stored key, nothing may be sent. The batch's key is deleted at the next start, if deleting it failed. */
    if (at == 1) check_at(c, "failed change", "the key", at, state == AIOT_ENROLL_UNUSABLE && platform.requests == 0);
    if (at == 1 || at == changes) state = run(MINUTE);
    check_at(c, "failed change", "done", at, state == AIOT_ENROLL_DONE);
    check_end(c, "failed change", at);
  }
  start(HEALTHY);
  nvs.unreadable = true;
  check_at(c, "unreadable", "nothing is replaced", 0, run(MINUTE) == AIOT_ENROLL_UNUSABLE && nvs.changes == 0 && platform.requests == 0);
  start(HEALTHY);
  put("aiot", "key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 60);
  check_at(c, "damaged key", "it is not replaced", 0, run(MINUTE) == AIOT_ENROLL_UNUSABLE && nvs.changes == 0 && platform.requests == 0);
}

/* `least`, `most`: the pause between two requests, ms. */
typedef struct {
  mood mood;
  const char *name;
  aiot_enroll_news news;
  const char *reason;
  uint64_t least, most;
} answer_case;

static const answer_case answers[] = {
    {WAITS, "waits", AIOT_ENROLL_WAITS, "july-240ac4123456", 5000, 6667},
    {WAITS_SHORT, "waits, with a time of zero", AIOT_ENROLL_WAITS, "july-240ac4123456", 1000, 1334},
    {WAITS_LONG, "waits, with an endless time", AIOT_ENROLL_WAITS, "july-240ac4123456", HOUR, HOUR / 3 * 4},
    {WAITS_UNTOLD, "waits, without a time", AIOT_ENROLL_WAITS, "july-240ac4123456", 10000, 13334},
    {REFUSES, "refused", AIOT_ENROLL_REFUSED, "the serial number belongs to another key", HOUR, HOUR / 3 * 4},
    {REVOKED, "revoked", AIOT_ENROLL_REFUSED, "the batch july was revoked", HOUR, HOUR / 3 * 4},
    {LIMITS, "limited", AIOT_ENROLL_LIMITED, "too many requests", 90000, 120000},
    {LIMITS_UNTOLD, "limited, without a time", AIOT_ENROLL_LIMITED, "too many requests", MINUTE, 80000},
    {BUSY, "busy", AIOT_ENROLL_UNREACHABLE, "status 503", 0, 0},
    {BROKEN, "broken", AIOT_ENROLL_UNREACHABLE, "status 500", 0, 0},
    {REDIRECT, "redirected", AIOT_ENROLL_UNREACHABLE, "status 302", 0, 0},
    {UNREACHABLE, "unreachable", AIOT_ENROLL_UNREACHABLE, "the platform cannot be reached", 0, 0},
    {CUT_OFF, "cut off", AIOT_ENROLL_UNREACHABLE, "the connection was lost", 0, 0},
    {SILENT, "silent", AIOT_ENROLL_UNREACHABLE, "the connection was lost", 0, 0},
    {EMPTY, "empty", AIOT_ENROLL_MALFORMED, "the response is malformed", 0, 0},
    {GARBAGE, "garbage", AIOT_ENROLL_MALFORMED, "the response is malformed", 0, 0},
    {ARRAY, "arrays", AIOT_ENROLL_MALFORMED, "the response is malformed", 0, 0},
    {UNKNOWN_STATE, "unknown state", AIOT_ENROLL_MALFORMED, "the response is malformed", 0, 0},
    {NO_IDENTITY, "issued without an identity", AIOT_ENROLL_MALFORMED, "the response is malformed", 0, 0},
    {NO_NAME, "no name", AIOT_ENROLL_MALFORMED, "the response is malformed", 0, 0},
    {TRUNCATED, "truncated", AIOT_ENROLL_MALFORMED, "the response is malformed", 0, 0},
    {OVERSIZED, "oversized", AIOT_ENROLL_MALFORMED, "the response is too long", 0, 0},
    {OTHER_KEY, "another key", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
    {OTHER_NAME, "another name", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
    {LONG_URL, "a long URL", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
    {PLAIN_HTTP, "a URL without TLS", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
    {LONG_PEM, "a long certificate", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
    {NO_PEM, "no certificate", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
    {BAD_TRUST, "an invalid trust", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
    {BAD_ROOT, "an invalid root", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
    {FORGED_ROOT, "a root with a wrong signature", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
    {HUGE_ROOT, "a huge root", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
    {NEGATIVE_RELEASE, "a negative floor", AIOT_ENROLL_MALFORMED, "the identity is invalid, or is for another key", 0, 0},
};

static void answer(checks *c) {
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    const answer_case *a = &answers[i];
    start(a->mood);
    platform.healthy_at = 13;
    const aiot_enroll_state state = run(3 * HOUR);
    const unsigned early = platform.requests;
    check_at(c, a->name, "no identity before it is issued", i, state == AIOT_ENROLL_DONE ? platform.requests == 13 : !has_identity());
    check_at(c, a->name, "the news, once", i, told.count == (state == AIOT_ENROLL_DONE ? 2u : 1u));
    if (state == AIOT_ENROLL_RUNS) check_at(c, a->name, a->reason, i, told.news == a->news && strcmp(told.reason, a->reason) == 0);
    for (unsigned n = 1; n < early && n < 12; n++) {
      const uint64_t pause = platform.asked_at[n] - platform.asked_at[n - 1];
      /* Back-off doubles from 5 s to ten minutes. A request may take up to a minute, and a step is 100 ms. */
      const uint64_t doubled = n < 8 ? UINT64_C(5000) << (n - 1) : 600000, most = doubled < 600000 ? doubled : 600000;
      const uint64_t lower = a->most > 0 ? a->least : most / 2, upper = a->most > 0 ? a->most : most + (a->mood == SILENT ? 61000 : 0);
      check_at(c, a->name, "pause", n, pause >= lower && pause <= upper + 8000);
    }
    if (state != AIOT_ENROLL_DONE) check_at(c, a->name, "recovers", i, run(20 * (uint64_t)HOUR) == AIOT_ENROLL_DONE);
    check_end(c, a->name, i);
  }
  /* The pauses of a thousand devices after the same answer do not coincide. */
  uint32_t least = UINT32_MAX, most = 0;
  for (int i = 0; i < 100; i++) {
    start(LIMITS);
    run(3000);
    if (told.pause_ms < least) least = told.pause_ms;
    if (told.pause_ms > most) most = told.pause_ms;
  }
  check_at(c, "jitter", "spread", 0, least >= 90000 && least < 96000 && most > 114000 && most <= 120000);
}

/* A device that was never online asks nothing, and uptime that jumps ahead, as after sleep, only ends a pause. */
static void offline(checks *c) {
  static aiot_enroll enroll;
  const aiot_enroll_setup setup = {.settings = &settings, .keys = &enroll_keys, .crypto = &aiot_crypto_openssl, .post = &port, .serial = serial,
                                   .mac = "24:0a:c4:12:34:56", .chip = "esp32c3", .memory = memory, .bytes = MEMORY, .news = on_news};
  start(WAITS);
  check_at(c, "offline", "opened", 0, aiot_enroll_open(&enroll, &setup, 0) == AIOT_ENROLL_RUNS);
  for (uint64_t at = 0; at < HOUR; at += STEP_MS) aiot_enroll_step(&enroll, at, false);
  check_at(c, "offline", "no request", 0, platform.requests == 0 && told.count == 0);
  for (int i = 0; i < 5; i++) aiot_enroll_step(&enroll, HOUR, true);
  check_at(c, "offline", "asks when it is online", 0, platform.requests == 1);
  platform.mood = HEALTHY;
  aiot_enroll_state state = AIOT_ENROLL_RUNS;
  for (int i = 0; i < 20 && state == AIOT_ENROLL_RUNS; i++) state = aiot_enroll_step(&enroll, UINT64_C(1) << 50, true);
  check_at(c, "offline", "jump", 0, platform.requests == 2 && state == AIOT_ENROLL_DONE);
  aiot_enroll_setup small = setup;
  small.bytes = AIOT_ENROLL_MEMORY_BYTES - 1;
  check_at(c, "offline", "too little memory", 0, aiot_enroll_open(&enroll, &small, 0) == AIOT_ENROLL_UNUSABLE);
  /* The smallest memory has room for an identity with a root of typical size. */
  start(HEALTHY);
  small.bytes = AIOT_ENROLL_MEMORY_BYTES;
  state = aiot_enroll_open(&enroll, &small, 0);
  for (uint64_t at = 0; at < MINUTE && state == AIOT_ENROLL_RUNS; at += STEP_MS) state = aiot_enroll_step(&enroll, at, true);
  check_at(c, "offline", "smallest memory", 0, state == AIOT_ENROLL_DONE);
  check_end(c, "smallest memory", 0);
}

int main(void) {
  checks c = {0, 0};
  memory = malloc(MEMORY);
  issuer = EVP_EC_gen("P-256");
  signer = signing_key_new();
  signing_key stamps = signing_key_new();
  const root_spec spec = {.version = 1, .root = &signer, .roots = 1, .targets = &signer, .timestamp = &stamps};
  root_text(&spec, &signer, 1, root);
  root_text(&spec, &stamps, 1, forged);
  trust_json(&signer, 1, 1, trust_text, sizeof trust_text);
  issue(issuer, ca);
  healthy(&c);
  const unsigned cuts = cut_power(&c);
  fail_changes(&c);
  answer(&c);
  offline(&c);
  printf("power was cut %u times\n", cuts);
  EVP_PKEY_free(issuer);
  signing_key_free(&signer);
  signing_key_free(&stamps);
  free(memory);
  return checks_end(&c);
}
