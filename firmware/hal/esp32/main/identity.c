#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "esp32.h"
#include "esp_log.h"
#include "nvs.h"
#include "nvs_flash.h"
#include "sdkconfig.h"

/* Maximum size of a root, which has the maximum number of keys and signatures. */
enum { ROOT_BYTES = 16384 };

static bool text(nvs_handle_t nvs, const char *key, char *out, size_t room) {
  size_t bytes = room;
  if (nvs_get_str(nvs, key, out, &bytes) == ESP_OK) return true;
  out[0] = '\0';
  return false;
}

static bool digit_of(char digit, uint8_t *value) {
  if (digit >= '0' && digit <= '9') *value = (uint8_t)(digit - '0');
  else if (digit >= 'a' && digit <= 'f') *value = (uint8_t)(digit - 'a' + 10);
  else return false;
  return true;
}

static bool read_id(nvs_handle_t nvs, const char *key, uint8_t id[AIOT_SHA256_BYTES]) {
  char digits[2 * AIOT_SHA256_BYTES + 1];
  if (!text(nvs, key, digits, sizeof digits) || strlen(digits) != 2 * AIOT_SHA256_BYTES) return false;
  for (size_t i = 0; i < AIOT_SHA256_BYTES; i++) {
    uint8_t high, low;
    if (!digit_of(digits[2 * i], &high) || !digit_of(digits[2 * i + 1], &low)) return false;
    id[i] = (uint8_t)(high << 4 | low);
  }
  return true;
}

/* Whether an id is the digest of its key. A key with any other id is invalid. */
static bool is_digest(const aiot_crypto *crypto, const uint8_t *data, size_t bytes, const uint8_t id[AIOT_SHA256_BYTES]) {
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  uint8_t digest[AIOT_SHA256_BYTES];
  crypto->sha256_begin(crypto->context, state);
  crypto->sha256_update(crypto->context, state, data, bytes);
  crypto->sha256_end(crypto->context, state, digest);
  return memcmp(digest, id, sizeof digest) == 0;
}

/* Reads the root from the pieces root0, root1 …, and returns its size; 0 = the board was provisioned before roots existed. */
static size_t read_pieces(nvs_handle_t nvs, char *out, size_t room) {
  size_t used = 0;
  for (unsigned i = 0; used < room; i++) {
    char name[8];
    size_t bytes = room - used;
    snprintf(name, sizeof name, "root%u", i);
    if (nvs_get_blob(nvs, name, out + used, &bytes) != ESP_OK) break;
    used += bytes;
  }
  return used;
}

/* Reads the root. False if there is none. `good`: whether it is valid. */
static bool read_root(nvs_handle_t nvs, aiot_trust *trust, const aiot_crypto *crypto, bool *good) {
  char *envelope = malloc(ROOT_BYTES);
  const size_t bytes = envelope == NULL ? 0 : read_pieces(nvs, envelope, ROOT_BYTES);
  *good = bytes > 0 && aiot_root_open(trust, envelope, bytes, crypto) == AIOT_OK;
  free(envelope);
  return bytes > 0;
}

static bool read_keys(nvs_handle_t nvs, aiot_trust *trust, const aiot_crypto *crypto) {
  uint8_t count = 0, threshold = 0;
  uint32_t version = 0;
  const bool there = nvs_get_u32(nvs, "version", &version) == ESP_OK && nvs_get_u8(nvs, "keys", &count) == ESP_OK &&
                     nvs_get_u8(nvs, "threshold", &threshold) == ESP_OK && threshold > 0;
  memset(trust, 0, sizeof *trust);
  trust->version = version;
  trust->expires = INT64_MAX;
  for (unsigned i = 0; there && i < count && trust->keys < AIOT_KEYS_MAX; i++) {
    char name[8];
    uint8_t *spki = trust->key[trust->keys].spki, *id = trust->key[trust->keys].id;
    size_t bytes = AIOT_SPKI_BYTES;
    snprintf(name, sizeof name, "key%u", i);
    if (nvs_get_blob(nvs, name, spki, &bytes) != ESP_OK) continue;
    snprintf(name, sizeof name, "id%u", i);
    if (!read_id(nvs, name, id) || !is_digest(crypto, spki, bytes, id)) continue;
    trust->key[trust->keys++].spki_bytes = (uint8_t)bytes;
  }
  /* On a board that was provisioned before roots existed, the same keys have all roles. */
  trust->role[AIOT_ROLE_ROOT].keys = trust->role[AIOT_ROLE_TARGETS].keys = ((uint32_t)1 << trust->keys) - 1;
  trust->role[AIOT_ROLE_ROOT].threshold = trust->role[AIOT_ROLE_TARGETS].threshold = threshold;
  return there && trust->keys >= threshold;
}

static bool read_trust(aiot_trust *trust, const aiot_crypto *crypto) {
  nvs_handle_t nvs;
  bool good;
  if (nvs_open("aiot_trust", NVS_READONLY, &nvs) != ESP_OK) return false;
  if (!read_root(nvs, trust, crypto, &good)) good = read_keys(nvs, trust, crypto);
  nvs_close(nvs);
  return good;
}

static int64_t number(nvs_handle_t nvs, const char *key) {
  uint64_t value = 0;
  if (nvs_get_u64(nvs, key, &value) != ESP_OK || value > INT64_MAX) return 0;
  return (int64_t)value;
}

static bool read_device(aiot_esp32_identity *identity) {
  nvs_handle_t nvs;
  if (nvs_open("aiot", NVS_READONLY, &nvs) != ESP_OK) return false;
  const bool whole = text(nvs, "name", identity->name, sizeof identity->name) && text(nvs, "type", identity->type, sizeof identity->type) &&
                     text(nvs, "http", identity->http, sizeof identity->http) && text(nvs, "mqtts", identity->mqtts, sizeof identity->mqtts) &&
                     text(nvs, "ca", identity->ca, sizeof identity->ca) &&
                     text(nvs, "certificate", identity->certificate, sizeof identity->certificate) &&
                     text(nvs, "key", identity->key, sizeof identity->key);
  text(nvs, "id", identity->id, sizeof identity->id);
  nvs_close(nvs);
  return whole;
}

static void read_wifi(aiot_esp32_identity *identity) {
  nvs_handle_t nvs;
  if (nvs_open("wifi", NVS_READONLY, &nvs) != ESP_OK) return;
  text(nvs, "ssid", identity->network.ssid, sizeof identity->network.ssid);
  text(nvs, "password", identity->network.password, sizeof identity->network.password);
  char method[16];
  identity->network.enterprise = text(nvs, "eap", method, sizeof method);
  char address[16], mask[16], gateway[16], dns[16];
  text(nvs, "mask", mask, sizeof mask);
  text(nvs, "gateway", gateway, sizeof gateway);
  text(nvs, "dns", dns, sizeof dns);
  if (text(nvs, "address", address, sizeof address)) aiot_network_fix(&identity->network, address, mask, gateway, dns);
  nvs_close(nvs);
}

/* nvs_flash_init(), but with an HMAC key that is only read. The vendor's function would burn a random key into an empty block for good. */
static bool start_nvs(void) {
#if CONFIG_NVS_SEC_KEY_PROTECT_USING_HMAC
  nvs_sec_cfg_t keys;
  if (nvs_flash_read_security_cfg_v2(nvs_flash_get_default_security_scheme(), &keys) == ESP_OK) return nvs_flash_secure_init(&keys) == ESP_OK;
  ESP_LOGE("aiot", "key block %d has no HMAC key for the NVS: aiot board lock --only nvs-key --nvs-key FILE", CONFIG_NVS_SEC_HMAC_EFUSE_KEY_ID);
  return false;
#else
  return nvs_flash_init() == ESP_OK;
#endif
}

bool aiot_esp32_identity_read_wifi(aiot_esp32_identity *identity) {
  memset(identity, 0, sizeof *identity);
  if (start_nvs()) read_wifi(identity);
  return identity->network.ssid[0] != '\0';
}

size_t aiot_esp32_identity_networks(void *out, size_t room) {
  nvs_handle_t nvs;
  size_t bytes = room;
  if (nvs_open("wifi", NVS_READONLY, &nvs) != ESP_OK) return 0;
  if (nvs_get_blob(nvs, "networks", out, &bytes) != ESP_OK) bytes = 0;
  nvs_close(nvs);
  return bytes;
}

bool aiot_esp32_identity_keep_networks(const void *networks, size_t bytes) {
  nvs_handle_t nvs;
  if (nvs_open("wifi", NVS_READWRITE, &nvs) != ESP_OK) return false;
  /* A single entry, so that a power cut leaves either the former networks or the new ones. */
  const bool kept = nvs_set_blob(nvs, "networks", networks, bytes) == ESP_OK && nvs_commit(nvs) == ESP_OK;
  nvs_close(nvs);
  return kept;
}

bool aiot_esp32_identity_read(aiot_esp32_identity *identity, const aiot_crypto *crypto) {
  memset(identity, 0, sizeof *identity);
  /* Unreadable data is not erased, because it may contain the only key that the platform accepts. */
  if (!start_nvs() || !read_device(identity)) return false;
  identity->has_trust = read_trust(&identity->trust, crypto);
  nvs_handle_t nvs;
  if (nvs_open("aiot_update", NVS_READONLY, &nvs) == ESP_OK) {
    identity->floor = number(nvs, "floor");
    identity->sequence = number(nvs, "sequence");
    nvs_close(nvs);
  }
  read_wifi(identity);
  return true;
}

void aiot_esp32_identity_keep(const aiot_record *record) {
  nvs_handle_t nvs;
  if (nvs_open("aiot_update", NVS_READWRITE, &nvs) == ESP_OK) {
    if (record->sequence > number(nvs, "sequence")) nvs_set_u64(nvs, "sequence", (uint64_t)record->sequence);
    if (record->floor > number(nvs, "floor")) nvs_set_u64(nvs, "floor", (uint64_t)record->floor);
    nvs_commit(nvs);
    nvs_close(nvs);
  }
  uint8_t slot = 0;
  if (record->active == AIOT_NO_SLOT || nvs_open("aiot", NVS_READWRITE, &nvs) != ESP_OK) return;
  if (nvs_get_u8(nvs, "model_slot", &slot) != ESP_OK || slot != (uint8_t)record->active) {
    nvs_set_u8(nvs, "model_slot", (uint8_t)record->active);
    nvs_commit(nvs);
  }
  nvs_close(nvs);
}
