/* Tests the functions of hal/esp32 that do not depend on a board: back-off, partitions as one flash, responses to downloads. */
#include "portable.h"

#include <string.h>

#include "aiot/store.h"
#include "check.h"
#include "crypto_openssl.h"
#include "sim_flash.h"

static void test_backoff(checks *c) {
  static const uint32_t most[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
  for (uint32_t chance = 0; chance < 100000; chance += 997) {
    aiot_backoff backoff = {0, 0};
    uint64_t now = 5;
    check_at(c, "backoff", "due immediately", chance, aiot_backoff_due(&backoff, now));
    for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
      aiot_backoff_failed(&backoff, now, chance * 31);
      const uint64_t wait = backoff.next_ms - now;
      check_at(c, "backoff", "between half and the full delay", i, wait <= most[i] && wait >= most[i] / 2);
      check_at(c, "backoff", "not before", i, !aiot_backoff_due(&backoff, backoff.next_ms - 1) && aiot_backoff_due(&backoff, backoff.next_ms));
      now = backoff.next_ms;
    }
    aiot_backoff_worked(&backoff);
    aiot_backoff_failed(&backoff, now, 0);
    check_equal(c, "backoff, after a reset", chance, 1000, (int64_t)(backoff.next_ms - now));
  }
  aiot_backoff old = {UINT32_MAX, 0};
  aiot_backoff_failed(&old, 0, 0);
  check_equal(c, "backoff, after many failures", 0, 60000, (int64_t)old.next_ms);
}

enum { SECTOR = 4096, SLOT = 8 * SECTOR };

/* Joins records in the second half of one flash and slots on two others, as for programs. */
static void test_joined(checks *c) {
  static sim_flash records, a, b;
  aiot_joined joined;
  if (!check_at(c, "joined", "flashes", 0, sim_flash_open(&records, 4 * SECTOR, SECTOR) && sim_flash_open(&a, SLOT, SECTOR) && sim_flash_open(&b, SLOT, SECTOR))) return;
  aiot_joined_init(&joined);
  check_at(c, "joined", "without pieces", 0, !joined.flash.erase(joined.flash.context, 0));
  check_at(c, "joined", "beyond the flash", 0, !aiot_joined_add(&joined, &records.port, 3 * SECTOR, 2 * SECTOR));
  check_at(c, "joined", "partial sectors", 0, !aiot_joined_add(&joined, &records.port, 100, SECTOR) && !aiot_joined_add(&joined, &records.port, 0, 100));
  check_at(c, "joined", "an empty piece", 0, !aiot_joined_add(&joined, &records.port, 0, 0));
  check_at(c, "joined", "pieces", 0,
           aiot_joined_add(&joined, &records.port, 2 * SECTOR, 2 * SECTOR) && aiot_joined_add(&joined, &a.port, 0, SLOT) && aiot_joined_add(&joined, &b.port, 0, SLOT));
  const aiot_flash *flash = &joined.flash;
  check_equal(c, "joined, bytes", 0, 2 * SECTOR + 2 * SLOT, flash->bytes);
  /* Data is written across both boundaries and read back. */
  static uint8_t data[2 * SECTOR + 2 * SLOT], got[sizeof data];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7 + i / 251);
  check_at(c, "joined", "writes", 0, flash->write(flash->context, 0, data, sizeof data) && flash->sync(flash->context));
  check_at(c, "joined", "reads", 0, flash->read(flash->context, 0, got, sizeof got) && memcmp(data, got, sizeof data) == 0);
  check_at(c, "joined", "at the right offsets", 0, memcmp(records.memory + 2 * SECTOR, data, 2 * SECTOR) == 0 && memcmp(a.memory, data + 2 * SECTOR, SLOT) == 0 && memcmp(b.memory, data + 2 * SECTOR + SLOT, SLOT) == 0);
  check_at(c, "joined", "nowhere else", 0, records.memory[0] == 0xff && records.memory[2 * SECTOR - 1] == 0xff);
  check_at(c, "joined", "beyond the end", 0, !flash->read(flash->context, flash->bytes - 1, got, 2) && !flash->write(flash->context, flash->bytes, data, 1) && !flash->erase(flash->context, flash->bytes));
  check_at(c, "joined", "erases", 0, flash->erase(flash->context, 2 * SECTOR + SLOT) && b.memory[0] == 0xff && b.memory[SECTOR - 1] == 0xff);
  check_at(c, "joined", "one sector", 0, b.memory[SECTOR] == data[2 * SECTOR + SLOT + SECTOR] && a.memory[SLOT - 1] == data[2 * SECTOR + SLOT - 1]);
  check_at(c, "joined", "maps within a piece", 0, flash->map(flash->context, 2 * SECTOR, SLOT) == a.memory && flash->map(flash->context, 2 * SECTOR + 5, SLOT - 5) == a.memory + 5);
  check_at(c, "joined", "no mapping across pieces", 0, flash->map(flash->context, 2 * SECTOR, SLOT + 1) == NULL && flash->map(flash->context, flash->bytes, 1) == NULL);
  /* A store works on the joined flash as on a single one. */
  static uint8_t scratch[AIOT_SECTOR_BYTES];
  static aiot_store store;
  check_at(c, "joined", "opens as a store", 0, aiot_store_open_flash(&store, flash, &aiot_crypto_openssl, scratch) && store.sector < 0 && aiot_store_slot_bytes(&store) == SLOT);
  store.record.floor = 7;
  store.record.sequence = 9;
  check_at(c, "joined", "stores a record", 0, aiot_store_persist(&store));
  check_at(c, "joined", "reads it back", 0, aiot_store_open_flash(&store, flash, &aiot_crypto_openssl, scratch) && store.record.floor == 7 && store.record.sequence == 9);
  /* If the power is cut in the second piece, the joined operation fails as well. */
  sim_flash_power_on(&a);
  a.cut_at = 1;
  a.torn = SIM_TORN_BEFORE;
  check_at(c, "joined", "a failing piece", 0, !flash->write(flash->context, 2 * SECTOR - 4, data, 8));
  sim_flash_close(&records);
  sim_flash_close(&a);
  sim_flash_close(&b);
}

/* Joins a flash and an encrypted one. Bytes as they are stored differ only on the encrypted one. */
static void test_encrypted(checks *c) {
  static sim_flash plain, secret;
  static uint8_t data[2 * SECTOR], got[sizeof data];
  aiot_joined joined;
  if (!check_at(c, "encrypted", "flashes", 0, sim_flash_open(&plain, SECTOR, SECTOR) && sim_flash_open(&secret, SECTOR, SECTOR) && sim_flash_encrypt(&secret))) return;
  aiot_joined_init(&joined);
  /* A board without encryption. */
  plain.port.read_raw = NULL;
  check_at(c, "encrypted", "pieces", 0, aiot_joined_add(&joined, &plain.port, 0, SECTOR) && aiot_joined_add(&joined, &secret.port, 0, SECTOR));
  const aiot_flash *flash = &joined.flash;
  check_at(c, "encrypted", "erased, decrypted", 0, flash->read(flash->context, SECTOR, got, SECTOR) && got[0] != 0xff);
  check_at(c, "encrypted", "erased, as stored", 0, flash->read_raw(flash->context, SECTOR, got, SECTOR) && got[0] == 0xff && got[SECTOR - 1] == 0xff);
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7 + i / 251);
  check_at(c, "encrypted", "writes", 0, flash->write(flash->context, 0, data, sizeof data));
  check_at(c, "encrypted", "reads", 0, flash->read(flash->context, 0, got, sizeof got) && memcmp(data, got, sizeof data) == 0);
  check_at(c, "encrypted", "reads as stored", 0, flash->read_raw(flash->context, 0, got, sizeof got) && memcmp(data, got, SECTOR) == 0 && memcmp(data + SECTOR, got + SECTOR, SECTOR) != 0);
  check_at(c, "encrypted", "beyond the end", 0, !flash->read_raw(flash->context, flash->bytes - 1, got, 2));
  sim_flash_close(&plain);
  sim_flash_close(&secret);
}

static void test_downloads(checks *c) {
  static const struct {
    int status;
    const char *range;
    uint64_t from;
    int32_t result;
    uint64_t skip;
  } rows[] = {
      {200, NULL, 0, 0, 0},
      {200, NULL, 700, 0, 700},
      {206, "bytes 700-999/1000", 700, 0, 0},
      {206, "bytes 512-999/1000", 700, 0, 188},
      {206, "bytes 701-999/1000", 700, AIOT_HTTP_REFUSED, 0},
      {206, NULL, 700, AIOT_HTTP_REFUSED, 0},
      {206, "bytes */1000", 700, AIOT_HTTP_REFUSED, 0},
      {206, "lines 0-9/10", 0, AIOT_HTTP_REFUSED, 0},
      {206, "bytes 99999999999999999999999-1/1", 0, AIOT_HTTP_REFUSED, 0},
      {204, NULL, 0, AIOT_HTTP_REFUSED, 0},
      {302, NULL, 0, AIOT_HTTP_REFUSED, 0},
      {403, NULL, 0, AIOT_HTTP_REFUSED, 0},
      {404, NULL, 0, AIOT_HTTP_MISSING, 0},
      {416, NULL, 9, AIOT_HTTP_REFUSED, 0},
      {429, NULL, 0, AIOT_HTTP_BROKEN, 0},
      {500, NULL, 0, AIOT_HTTP_BROKEN, 0},
      {503, NULL, 0, AIOT_HTTP_BROKEN, 0},
      {-1, NULL, 0, AIOT_HTTP_BROKEN, 0},
      {0, NULL, 0, AIOT_HTTP_BROKEN, 0},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    uint64_t skip = 12345;
    check_equal(c, "download", i, rows[i].result, aiot_download_answer(rows[i].status, rows[i].range, rows[i].from, &skip));
    check_equal(c, "download, skipped bytes", i, (int64_t)rows[i].skip, (int64_t)skip);
  }
  check_at(c, "path", "of the platform", 0, aiot_download_path("/api/v1/blobs/sha256:00"));
  static const char *const elsewhere[] = {"", "api", "//evil/x", "https://evil/", "/a b", "/a\r\nhost: evil", "/a\n"};
  for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++) check_at(c, "path", "a path of another host", i, !aiot_download_path(elsewhere[i]));
}

static void test_names(checks *c) {
  static const struct {
    const char *name, *host;
  } rows[] = {{"pump-7", "pump-7"}, {"Pump_7.A", "pump-7-a"}, {"--a--b--", "a-b"}, {"", "aiot"}, {"___", "aiot"}, {"a234567890123456789012345678901234567890", "a2345678901234567890123456789012"},
              {"a23456789012345678901234567890_/x", "a23456789012345678901234567890-x"}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char host[AIOT_HOSTNAME_BYTES];
    aiot_hostname(rows[i].name, host);
    check_at(c, "hostname", rows[i].name, i, strcmp(host, rows[i].host) == 0);
  }
  static const struct {
    const char *url, *host;
  } urls[] = {{"mqtts://platform.lan:8883", "platform.lan"}, {"https://10.0.0.1", "10.0.0.1"}, {"mqtts://[fd00::1]:8883", "fd00::1"}, {"https://a/b", "a"}, {"", NULL}, {"a:1", NULL}, {"mqtts://:1", NULL},
              {"mqtts://[fd00::1", NULL}, {"mqtts://a-host-that-is-too-long", NULL}};
  for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
    char host[16] = "";
    const bool found = aiot_url_host(urls[i].url, host, sizeof host);
    check_at(c, "url", urls[i].url, i, urls[i].host == NULL ? !found : found && strcmp(host, urls[i].host) == 0);
  }
}

int main(void) {
  checks c = {0, 0};
  test_backoff(&c);
  test_joined(&c);
  test_encrypted(&c);
  test_downloads(&c);
  test_names(&c);
  return checks_end(&c);
}
