/*
 * Tests the settings of a program's own: which messages are used and which are rejected, with the reasons; the digest; what is stored, and
 * what happens if that fails; and the values at the next start. The settings are those of a pump (test/pump).
 */
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/src/device/inbox.h"
#include "aiot/device.h"
#include "aiot/own_settings.h"
#include "check.h"
#include "crypto_openssl.h"
#include "settings_file.h"

#define MEMORY_BYTES (64u * 1024u)

static struct {
  uint64_t uptime_ms;
  char reported[4096];
  char subscribed[8][64];
  size_t subscriptions;
  /* The stored text, how often it was replaced, and whether writing fails. */
  char stored[4096];
  size_t stored_bytes, writes;
  bool broken;
} sim;

static uint64_t uptime(void *context) { return (void)context, sim.uptime_ms++; }
static int64_t now(void *context) { return (void)context, 1700000000000; }
static uint32_t connection(void *context) { return (void)context, 1; }
static bool subscribe(void *context, const char *filter, int qos) {
  (void)context, (void)qos;
  snprintf(sim.subscribed[sim.subscriptions++ % 8], sizeof sim.subscribed[0], "%s", filter);
  return true;
}
static uint32_t publish(void *context, const char *topic, const void *payload, size_t bytes, int qos, bool retain) {
  (void)context, (void)qos, (void)retain;
  if (strstr(topic, "/reported") != NULL) snprintf(sim.reported, sizeof sim.reported, "%.*s", (int)bytes, (const char *)payload);
  return 1;
}
static bool acknowledged(void *context, uint32_t message) { return (void)context, message > 0; }
static bool receive(void *context, uint32_t wait_ms, const char **topic, const uint8_t **payload, size_t *bytes) {
  (void)context, (void)wait_ms, (void)topic, (void)payload, (void)bytes;
  return false;
}
static size_t read_stored(void *context, void *out, size_t room) {
  (void)context;
  if (sim.stored_bytes > room) return 0;
  memcpy(out, sim.stored, sim.stored_bytes);
  return sim.stored_bytes;
}
static bool write_stored(void *context, const void *text, size_t bytes) {
  (void)context;
  if (sim.broken || bytes > sizeof sim.stored) return false;
  memcpy(sim.stored, text, bytes);
  sim.stored_bytes = bytes;
  sim.writes++;
  return true;
}

static const aiot_clock simulated_clock = {NULL, uptime, now, NULL};
static const aiot_mqtt mqtt = {NULL, connection, subscribe, publish, acknowledged, receive};
static const aiot_settings_store in_memory = {NULL, read_stored, write_stored};
static aiot_device device;
static void *memory;

/* Starts the device, as after a restart: its variables have random values before. */
static aiot_code start(const aiot_setting_table *settings, const aiot_settings_store *store) {
  rpm = every_s = 12345, gain = -1, quiet = true;
  memset(site, 'x', sizeof site - 1), memset(mode, 'x', sizeof mode - 1);
  const aiot_device_setup setup = {.name = "pump-1", .id = "dev_1", .type = "pump", .firmware_name = "test", .firmware_version = "0.0.0",
                                   .clock = &simulated_clock, .mqtt = &mqtt, .crypto = &aiot_crypto_openssl, .memory = memory, .bytes = MEMORY_BYTES,
                                   .queue_bytes = 4096, .message_bytes = 4096, .envelope_bytes = 1024, .batch_values = 64,
                                   .settings = settings, .settings_store = store};
  sim.reported[0] = '\0';
  sim.subscriptions = 0;
  return aiot_device_open(&device, &setup);
}

static void step(void) {
  for (int i = 0; i < 5; i++) aiot_device_step(&device, 0);
}

/* The digest that the platform calculates: of the values in canonical JSON. */
static const char *digest_of(const char *canonical) {
  static char text[AIOT_SETTINGS_DIGEST_BYTES];
  uint8_t digest[32];
  SHA256((const uint8_t *)canonical, strlen(canonical), digest);
  strcpy(text, "sha256:");
  for (size_t i = 0; i < 32; i++) snprintf(text + 7 + 2 * i, 3, "%02x", digest[i]);
  return text;
}

static void deliver(const void *payload, size_t bytes) {
  sim.reported[0] = '\0';
  aiot_device_receive(&device, "aiot/v1/pump-1/settings", payload, bytes);
  step();
}

/* Sends values with the digest of their canonical form. */
static void send(const char *values, const char *canonical) {
  char text[8192];
  deliver(text, (size_t)snprintf(text, sizeof text, "{\"digest\":\"%s\",\"later\":[1],\"values\":%s}", digest_of(canonical), values));
}

static const char *shown(void) {
  static char text[256];
  snprintf(text, sizeof text, "%d %d %d %g [%s] [%s]", (int)rpm, (int)every_s, quiet, gain, site, mode);
  return text;
}

static bool uses(const char *expected) {
  if (strcmp(shown(), expected) == 0) return true;
  printf("expected %s, got %s\n", expected, shown());
  return false;
}

/* Whether the report has the digest of these values, and no error. */
static bool reports(const char *canonical) {
  char expected[128];
  snprintf(expected, sizeof expected, "\"settings\":{\"digest\":\"%s\"}", canonical == NULL ? "" : digest_of(canonical));
  if (strstr(sim.reported, canonical == NULL ? "\"settings\":{\"digest\":null}" : expected) != NULL) return true;
  printf("reported %s\n", sim.reported);
  return false;
}

#define USUAL "900 60 0 1.5 [] [eco]"
#define BASE "{\"rpm\":1200,\"site\":\"north\"}"
#define BASE_SHOWN "1200 60 0 1.5 [north] [eco]"

static void test_used(checks *c) {
  const struct {
    const char *values, *canonical, *shown;
  } rows[] = {
      {"{}", "{}", USUAL},
      {"{\"rpm\":1200}", "{\"rpm\":1200}", "1200 60 0 1.5 [] [eco]"},
      {" { \"site\" : \"a\\u0041\\/\\n\\u00e9\\ud83d\\ude00\\\"\" , \"rpm\" : 12e2 } ", "{\"rpm\":1200,\"site\":\"aA/\\n\xc3\xa9\xf0\x9f\x98\x80\\\"\"}", "1200 60 0 1.5 [aA/\n\xc3\xa9\xf0\x9f\x98\x80\"] [eco]"},
      {"{\"site\":\"\\u0001\\b\\t\\f\\r\\\\\\u007f\"}", "{\"site\":\"\\u0001\\b\\t\\f\\r\\\\\x7f\"}", "900 60 0 1.5 [\x01\b\t\f\r\\\x7f] [eco]"},
      {"{\"gain\":0.1,\"mode\":\"boost\",\"quiet\":true,\"report\":{\"everyS\":5}}", "{\"gain\":0.1,\"mode\":\"boost\",\"quiet\":true,\"report\":{\"everyS\":5}}", "900 5 1 0.1 [] [boost]"},
      {"{\"report\":{\"everyS\":86400},\"gain\":-0,\"r\\u0070m\":0}", "{\"gain\":0,\"report\":{\"everyS\":86400},\"rpm\":0}", "0 86400 0 0 [] [eco]"},
      {"{\"gain\":1e-7}", "{\"gain\":1e-7}", "900 60 0 1e-07 [] [eco]"},
      {"{\"site\":\"1234567890123456789012345678901\"}", "{\"site\":\"1234567890123456789012345678901\"}", "900 60 0 1.5 [1234567890123456789012345678901] [eco]"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    send(rows[i].values, rows[i].canonical);
    check_at(c, "used", rows[i].values, i, uses(rows[i].shown) && reports(rows[i].canonical));
    char stored[512];
    snprintf(stored, sizeof stored, "{\"digest\":\"%s\",\"values\":%s}", digest_of(rows[i].canonical), rows[i].canonical);
    check_at(c, "stored", rows[i].values, i, sim.stored_bytes == strlen(stored) && memcmp(sim.stored, stored, sim.stored_bytes) == 0);
    /* After a restart, the program finds the same values. */
    check_at(c, "after a restart", rows[i].values, i, start(&own_settings, &in_memory) == AIOT_OK && uses(rows[i].shown));
    step();
    check_at(c, "reported after a restart", rows[i].values, i, reports(rows[i].canonical));
    /* The message comes again with each connection; it is not stored again. */
    const size_t writes = sim.writes;
    send(rows[i].values, rows[i].canonical);
    check_equal(c, "stored once", i, (int64_t)writes, (int64_t)sim.writes);
  }
}

/* All or none: each of these messages has another, valid value, which is not used either. */
static void test_rejected(checks *c) {
  const struct {
    const char *values, *reason;
  } rows[] = {
      {"{\"rpm\":5,\"pressure\":1}", "pressure: expected a setting of this program"},
      {"{\"rpm\":5,\"report\":{\"everyM\":1}}", "report.everyM: expected a setting of this program"},
      {"{\"rpm\":5,\"report.everyS\":1}", "report.everyS: expected a setting of this program"},
      {"{\"rpm\":5,\"rpm\\ud800\":1}", "rpm\xef\xbf\xbd: expected a setting of this program"},
      {"{\"rpm\":5,\"a name that is far longer than the name of any setting may be\":1}", "a name that is far longer than the name of any: expected a setting of this program"},
      {"{\"rpm\":5,\"report\":7}", "report: expected an object"},
      {"{\"rpm\":5,\"report\":{}}", "report: expected an object with members"},
      {"{\"site\":\"s\",\"rpm\":\"5\"}", "rpm: expected an integer from 0 to 3000"},
      {"{\"site\":\"s\",\"rpm\":5.5}", "rpm: expected an integer from 0 to 3000"},
      {"{\"site\":\"s\",\"rpm\":3001}", "rpm: expected an integer from 0 to 3000"},
      {"{\"site\":\"s\",\"rpm\":-1}", "rpm: expected an integer from 0 to 3000"},
      {"{\"site\":\"s\",\"rpm\":null}", "rpm: expected an integer from 0 to 3000"},
      {"{\"site\":\"s\",\"gain\":1e400}", "gain: expected a number from 0 to 10"},
      {"{\"site\":\"s\",\"quiet\":1}", "quiet: expected true or false"},
      {"{\"rpm\":5,\"site\":[]}", "site: expected a text"},
      {"{\"rpm\":5,\"site\":\"12345678901234567890123456789012\"}", "site: expected at most 31 bytes of text without NUL"},
      {"{\"rpm\":5,\"site\":\"a\\u0000\"}", "site: expected at most 31 bytes of text without NUL"},
      {"{\"rpm\":5,\"site\":\"\\ud83d\"}", "site: expected text without unpaired surrogates"},
      {"{\"rpm\":5,\"site\":\"\\ude00\\ud83d\"}", "site: expected text without unpaired surrogates"},
      {"{\"rpm\":5,\"mode\":\"fast\"}", "mode: expected eco|normal|boost"},
      {"{\"rpm\":5,\"mode\":\"\"}", "mode: expected eco|normal|boost"},
      {"{\"rpm\":5,\"rpm\":5}", "rpm: expected a single value"},
      {"{\"report\":{\"everyS\":5},\"report\":{\"everyS\":5}}", "report: expected a single object"},
      {"[]", "values: expected an object"},
      {"{\"rpm\":5,}", "the message is malformed"},
      {"{\"rpm\":5", "the message is malformed"},
      {"{\"rpm\":5},\"values\":{}", "the message is malformed"},
      {"{\"rpm\":5,\"x\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}", "the message is malformed"},
      {"{\"rpm\":6}", "digest: expected the digest of the values"},
      {"{\"quiet\":true,\"rpm\":2001}", "a quiet pump can have at most 2000 rpm"},
  };
  send(BASE, BASE);
  const size_t writes = sim.writes;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const char *sent = rows[i].reason[0] == 'a' && rows[i].values[2] == 'q' ? rows[i].values : "{\"rpm\":5}";
    send(rows[i].values, sent);
    check_at(c, "rejected", rows[i].values, i, uses(BASE_SHOWN));
    char expected[400], start_of[128];
    snprintf(start_of, sizeof start_of, "\"settings\":{\"digest\":\"%s\",", digest_of(BASE));
    snprintf(expected, sizeof expected, "%s\"error\":{\"digest\":\"%s\",\"code\":\"%s\",\"message\":\"%s\"}}", start_of, digest_of(sent),
             strncmp(rows[i].reason, "the message", 11) == 0 ? "AIOT_MESSAGE_MALFORMED" : "AIOT_SETTINGS_REJECTED", rows[i].reason);
    if (!check_at(c, "its reason", rows[i].values, i, strstr(sim.reported, expected) != NULL)) printf("expected %s\ngot %s\n", expected, sim.reported);
  }
  check_equal(c, "nothing stored", 0, (int64_t)writes, (int64_t)sim.writes);
  /* Without a readable digest, there is nothing to report. Later, a valid message ends the error. */
  static const char *const useless[] = {"x", "{}", "{\"values\":{}}", "{\"digest\":\"sha256:x\",\"values\":{}}", "{\"digest\":7}"};
  for (size_t i = 0; i < sizeof useless / sizeof useless[0]; i++) {
    deliver(useless[i], strlen(useless[i]));
    check_at(c, "no digest", useless[i], i, uses(BASE_SHOWN) && (sim.reported[0] == '\0' || reports(BASE)));
  }
  send("{\"quiet\":1}", "{\"quiet\":1}");
  send(BASE, BASE);
  check_at(c, "error", "ends", 0, reports(BASE));
  /* A long message: the platform sends at most 2048 bytes of values. */
  static char text[4096];
  const int used = snprintf(text, sizeof text, "{\"digest\":\"%s\",\"values\":{\"rpm\":5}", digest_of("{\"rpm\":5}"));
  memset(text + used, ' ', AIOT_SETTINGS_BYTES);
  text[AIOT_SETTINGS_BYTES - 1] = '}';
  deliver(text, AIOT_SETTINGS_BYTES);
  check_at(c, "long", "the longest", 0, uses("5 60 0 1.5 [] [eco]"));
  send(BASE, BASE);
  text[AIOT_SETTINGS_BYTES - 1] = ' ';
  text[AIOT_SETTINGS_BYTES] = '}';
  deliver(text, AIOT_SETTINGS_BYTES + 1);
  check_at(c, "long", "too long", 0, uses(BASE_SHOWN) && strstr(sim.reported, "the message is longer than 2304 bytes") != NULL);
}

/* Settings that cannot be stored or deleted: those in use stay in use, and the report says so. */
static void test_flash(checks *c) {
  send(BASE, BASE);
  sim.broken = true;
  send("{\"rpm\":5}", "{\"rpm\":5}");
  check_at(c, "flash", "not stored", 0, uses(BASE_SHOWN) && strstr(sim.reported, "\"code\":\"AIOT_FLASH_FAILED\",\"message\":\"the settings cannot be stored; the former ones remain in use\"}") != NULL);
  deliver("", 0);
  check_at(c, "flash", "not deleted", 0, uses(BASE_SHOWN) && strstr(sim.reported, digest_of(BASE)) != NULL && strstr(sim.reported, "\"code\":\"AIOT_FLASH_FAILED\",\"message\":\"the stored settings cannot be deleted; they remain in use\"}") != NULL);
  check_at(c, "flash", "after a restart", 0, start(&own_settings, &in_memory) == AIOT_OK && uses(BASE_SHOWN));
  sim.broken = false;
  deliver("", 0);
  check_at(c, "removed", "defaults", 0, uses(USUAL) && reports(NULL) && sim.stored_bytes == 0);
  check_at(c, "removed", "after a restart", 0, start(&own_settings, &in_memory) == AIOT_OK && uses(USUAL));
  step();
  check_at(c, "removed", "subscribes", 0, sim.subscriptions == 3 && strcmp(sim.subscribed[2], "aiot/v1/pump-1/settings") == 0 && reports(NULL));
  /* A program that changes a variable no longer uses what it was sent, until the message comes again. */
  send(BASE, BASE);
  rpm = 77;
  device.report_due = true;
  step();
  check_at(c, "drift", "digest", 0, reports("{\"rpm\":77,\"site\":\"north\"}"));
  send(BASE, BASE);
  check_at(c, "drift", "ends", 0, uses(BASE_SHOWN) && reports(BASE));
}

/* Stored settings that this program cannot use: the defaults are in use. They can be deleted. */
static void test_unusable(checks *c) {
  const char *const texts[] = {"", "{", "{\"digest\":\"sha256:00\",\"values\":{}}", "{\"pressure\":1}", "{\"rpm\":1,\"quiet\":3}", "{\"quiet\":true,\"rpm\":2001}"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    if (i < 3) snprintf(sim.stored, sizeof sim.stored, "%s", texts[i]);
    else snprintf(sim.stored, sizeof sim.stored, "{\"digest\":\"%s\",\"values\":%s}", digest_of(texts[i]), texts[i]);
    sim.stored_bytes = strlen(sim.stored);
    check_at(c, "unusable", texts[i], i, start(&own_settings, &in_memory) == AIOT_OK && uses(USUAL));
    step();
    check_at(c, "unusable, reported", texts[i], i, reports(NULL));
    deliver("", 0);
    check_at(c, "unusable, deleted", texts[i], i, uses(USUAL) && sim.stored_bytes == 0);
  }
  /* A changed byte of the values is noticed. */
  start(&own_settings, &in_memory);
  send(BASE, BASE);
  char *digit = strstr(sim.stored, "1200");
  *digit = '2';
  check_at(c, "unusable", "changed", 0, start(&own_settings, &in_memory) == AIOT_OK && uses(USUAL));
}

/* Tables that are not accepted: the device does not open. */
static void test_tables(checks *c) {
  static int32_t number;
  static char text[4];
  AIOT_SETTINGS(twice, NULL, AIOT_SETTING_INTEGER("a", number, 1, 0, 2) AIOT_SETTING_INTEGER("a", number, 1, 0, 2));
  AIOT_SETTINGS(inside, NULL, AIOT_SETTING_INTEGER("a", number, 1, 0, 2) AIOT_SETTING_INTEGER("a.b", number, 1, 0, 2));
  AIOT_SETTINGS(nameless, NULL, AIOT_SETTING_INTEGER("", number, 1, 0, 2));
  AIOT_SETTINGS(odd, NULL, AIOT_SETTING_INTEGER("a b", number, 1, 0, 2));
  AIOT_SETTINGS(dots, NULL, AIOT_SETTING_INTEGER("a..b", number, 1, 0, 2));
  AIOT_SETTINGS(beyond, NULL, AIOT_SETTING_INTEGER("a", number, 3, 0, 2));
  AIOT_SETTINGS(lengthy, NULL, AIOT_SETTING_TEXT("a", text, "four"));
  AIOT_SETTINGS(unlisted, NULL, AIOT_SETTING_CHOICE("a", text, "c", "a|b"));
  AIOT_SETTINGS(good, NULL, AIOT_SETTING_CHOICE("a.b", text, "b", "a|b") AIOT_SETTING_INTEGER("a-b", number, 1, INT32_MIN, INT32_MAX));
  const aiot_setting_table *const bad[] = {&twice, &inside, &nameless, &odd, &dots, &beyond, &lengthy, &unlisted};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) check_equal(c, "table", i, AIOT_SETTINGS_REJECTED, start(bad[i], NULL));
  /* Without a store, settings are in use until the next start. Names are sorted by their parts, as JavaScript sorts them. */
  check_equal(c, "table", 9, AIOT_OK, start(&good, NULL));
  send("{\"a-b\":2,\"a\":{\"b\":\"a\"}}", "{\"a\":{\"b\":\"a\"},\"a-b\":2}");
  check_at(c, "table", "used", 0, number == 2 && strcmp(text, "a") == 0 && reports("{\"a\":{\"b\":\"a\"},\"a-b\":2}"));
  check_at(c, "table", "no store", 0, start(&good, NULL) == AIOT_OK && number == 1 && strcmp(text, "b") == 0);
  /* A program without settings reports none, and does not subscribe to them. */
  check_equal(c, "none", 0, AIOT_OK, start(NULL, NULL));
  step();
  check_at(c, "none", "reported", sim.subscriptions, sim.subscriptions == 2 && strstr(sim.reported, "\"settings\"") == NULL && sim.reported[0] == '{');
  send(BASE, BASE);
}

/* The file on a computer. */
static void test_file(checks *c, const char *folder) {
  char out[64], path[600];
  mkdir(folder, 0700);
  const aiot_settings_store *file = aiot_settings_file(folder);
  check_at(c, "file", "deleted", 0, file->write(NULL, "", 0) && file->read(NULL, out, sizeof out) == 0);
  check_at(c, "file", "written", 0, file->write(NULL, "hello", 5) && file->read(NULL, out, sizeof out) == 5 && memcmp(out, "hello", 5) == 0);
  check_at(c, "file", "does not fit", 0, file->read(NULL, out, 4) == 0 && file->read(NULL, out, 5) == 5);
  check_at(c, "file", "replaced", 0, file->write(NULL, "x", 1) && file->read(NULL, out, sizeof out) == 1);
  snprintf(path, sizeof path, "%s/settings.json.new", folder);
  check_at(c, "file", "leaves nothing", 0, access(path, F_OK) != 0);
  /* The next text cannot be written, so the former one remains. */
  mkdir(path, 0700);
  check_at(c, "file", "not written", 0, !file->write(NULL, "yz", 2) && file->read(NULL, out, sizeof out) == 1 && out[0] == 'x');
  rmdir(path);
  check_at(c, "file", "deleted again", 0, file->write(NULL, "", 0) && file->read(NULL, out, sizeof out) == 0);
  check_at(c, "file", "no folder", 0, !aiot_settings_file("/nowhere")->write(NULL, "x", 1));
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  checks c = {0};
  memory = malloc(MEMORY_BYTES);
  if (memory == NULL) return 1;
  check_at(&c, "first start", "defaults", 0, start(&own_settings, &in_memory) == AIOT_OK && uses(USUAL));
  test_used(&c);
  test_rejected(&c);
  test_flash(&c);
  test_unusable(&c);
  test_tables(&c);
  test_file(&c, arguments[1]);
  free(memory);
  return checks_end(&c);
}
