/* hal/esp32's enrollment on simulated NVS and a simulated HTTP client: entries, requests, and results. Keys and requests are real. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/json.h"
#include "bootloader_random.h"
#include "check.h"
#include "crypto_openssl.h"
#include "enroll_keys.h"
#include "esp32.h"
#include "esp_http_client.h"
#include "esp_log.h"
#include "esp_mac.h"
#include "nvs.h"
#include "settings.h"

/* Most of these simulated functions ignore their arguments. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

enum { ENTRIES = 40, VALUE = 2048, MEMORY = 36 * 1024 };

/* ---- NVS ---- */

typedef struct {
  char space[16], key[16], type;
  uint8_t value[VALUE];
  size_t bytes;
} entry;

static entry entries[ENTRIES];
static size_t count;
static char spaces[8][16];
static size_t space_count;
static unsigned opened, uncommitted, written, created;
static esp_err_t fault;

esp_err_t nvs_open(const char *name, nvs_open_mode_t mode, nvs_handle_t *handle) {
  if (fault != ESP_OK) return fault;
  size_t i = 0;
  while (i < space_count && strcmp(spaces[i], name) != 0) i++;
  if (i == space_count) {
    if (mode == NVS_READONLY) return ESP_ERR_NVS_NOT_FOUND;
    created++;
    snprintf(spaces[space_count++], sizeof spaces[0], "%s", name);
  }
  *handle = (nvs_handle_t)i + 1;
  opened++;
  return ESP_OK;
}
void nvs_close(nvs_handle_t handle) { opened--; }
static entry *find(nvs_handle_t handle, const char *key) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(entries[i].space, spaces[handle - 1]) == 0 && strcmp(entries[i].key, key) == 0) return &entries[i];
  return NULL;
}
static esp_err_t set(nvs_handle_t handle, const char *key, char type, const void *value, size_t bytes) {
  if (strlen(key) > 15 || bytes > VALUE) return -1;
  entry *at = find(handle, key);
  if (at == NULL) at = &entries[count++];
  snprintf(at->space, sizeof at->space, "%s", spaces[handle - 1]);
  snprintf(at->key, sizeof at->key, "%s", key);
  at->type = type;
  memcpy(at->value, value, bytes);
  at->bytes = bytes;
  uncommitted++;
  written++;
  return ESP_OK;
}
esp_err_t nvs_set_str(nvs_handle_t handle, const char *key, const char *value) { return set(handle, key, 's', value, strlen(value) + 1); }
esp_err_t nvs_set_u8(nvs_handle_t handle, const char *key, uint8_t value) { return set(handle, key, '1', &value, 1); }
esp_err_t nvs_set_u32(nvs_handle_t handle, const char *key, uint32_t value) { return set(handle, key, '4', &value, 4); }
esp_err_t nvs_set_u64(nvs_handle_t handle, const char *key, uint64_t value) { return set(handle, key, '8', &value, 8); }
esp_err_t nvs_set_blob(nvs_handle_t handle, const char *key, const void *value, size_t bytes) { return set(handle, key, 'b', value, bytes); }
esp_err_t nvs_get_str(nvs_handle_t handle, const char *key, char *out, size_t *bytes) {
  const entry *at = find(handle, key);
  if (at == NULL) return ESP_ERR_NVS_NOT_FOUND;
  if (at->bytes > *bytes) return ESP_ERR_INVALID_SIZE;
  memcpy(out, at->value, at->bytes);
  *bytes = at->bytes;
  return ESP_OK;
}
esp_err_t nvs_erase_all(nvs_handle_t handle) {
  size_t left = 0;
  for (size_t i = 0; i < count; i++)
    if (strcmp(entries[i].space, spaces[handle - 1]) != 0) entries[left++] = entries[i];
  uncommitted += count != left;
  written += count != left;
  count = left;
  return ESP_OK;
}
esp_err_t nvs_commit(nvs_handle_t handle) {
  uncommitted = 0;
  return ESP_OK;
}

/* ---- The chip ---- */

static bool radio, source, joined, weak;
static char logged[512];

void bootloader_random_enable(void) { source = true; }
void bootloader_random_disable(void) { source = false; }
static bool make(void *context, uint8_t scalar[AIOT_SCALAR_BYTES], uint8_t point[AIOT_POINT_BYTES]) {
  weak = weak || !(AIOT_NETWORK == AIOT_NETWORK_WIFI ? radio && !source : source);
  return enroll_keys.make(NULL, scalar, point);
}
static size_t sign(void *context, const char *key, const uint8_t digest[AIOT_SHA256_BYTES], uint8_t signature[AIOT_SIGNATURE_BYTES]) {
  return enroll_keys.sign(NULL, key, digest, signature);
}
const aiot_key_maker aiot_keys_mbedtls = {NULL, make, sign};
static void begin(void *context, void *state) { aiot_crypto_openssl.sha256_begin(NULL, state); }
static void update(void *context, void *state, const void *data, size_t bytes) { aiot_crypto_openssl.sha256_update(NULL, state, data, bytes); }
static void end(void *context, void *state, uint8_t digest[AIOT_SHA256_BYTES]) { aiot_crypto_openssl.sha256_end(NULL, state, digest); }
static void fill(void *context, void *out, size_t bytes) { aiot_crypto_openssl.random(NULL, out, bytes); }
const aiot_crypto aiot_crypto_mbedtls = {NULL, begin, update, end, NULL, fill};
esp_err_t esp_efuse_mac_get_default(uint8_t *mac) {
  memcpy(mac, "\x24\x0a\xc4\x12\x34\x56", 6);
  return ESP_OK;
}
bool aiot_esp32_network_joined(void) { return joined; }
bool aiot_esp32_identity_read_wifi(aiot_esp32_identity *identity) {
  memset(identity, 0, sizeof *identity);
  snprintf(identity->network.ssid, sizeof identity->network.ssid, "hall");
  return true;
}
void esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...) {
  va_list values;
  va_start(values, format);
  vsnprintf(logged, sizeof logged, format, values);
  va_end(values);
}

/* ---- The HTTP client ---- */

static struct {
  esp_http_client_config_t config;
  char url[256], type[64], body[2048];
  int status, sent, alive, requests;
  const char *retry_after;
  char answer[8000];
  size_t at;
  enum { FINE, NO_CLIENT, NO_CONNECTION, SHORT_WRITE, NO_HEADERS, BROKEN_BODY, CUT_BODY } fault;
} web;

esp_http_client_handle_t esp_http_client_init(const esp_http_client_config_t *config) {
  if (web.fault == NO_CLIENT) return NULL;
  web.config = *config;
  snprintf(web.url, sizeof web.url, "%s", config->url);
  web.at = 0;
  web.alive++;
  return (esp_http_client_handle_t)(void *)&web;
}
esp_err_t esp_http_client_set_header(esp_http_client_handle_t client, const char *key, const char *value) {
  if (strcmp(key, "Content-Type") == 0) snprintf(web.type, sizeof web.type, "%s", value);
  return ESP_OK;
}
esp_err_t esp_http_client_open(esp_http_client_handle_t client, int bytes) {
  web.sent = bytes;
  return web.fault == NO_CONNECTION ? -1 : ESP_OK;
}
int esp_http_client_write(esp_http_client_handle_t client, const char *data, int bytes) {
  snprintf(web.body, sizeof web.body, "%.*s", bytes, data);
  web.requests++;
  return web.fault == SHORT_WRITE ? bytes - 1 : bytes;
}
int64_t esp_http_client_fetch_headers(esp_http_client_handle_t client) {
  esp_http_client_event_t event = {.event_id = HTTP_EVENT_ON_HEADER, .header_key = (char[]){"Retry-After"}, .header_value = (char *)(uintptr_t)web.retry_after};
  if (web.retry_after != NULL) web.config.event_handler(&event);
  return web.fault == NO_HEADERS ? -1 : (int64_t)strlen(web.answer);
}
int esp_http_client_get_status_code(esp_http_client_handle_t client) { return web.status; }
int esp_http_client_read(esp_http_client_handle_t client, char *buffer, int bytes) {
  const size_t left = strlen(web.answer) - web.at, some = left < (size_t)bytes ? left : (size_t)bytes, piece = some < 500 ? some : 500;
  if (web.fault == BROKEN_BODY) return -1;
  if (web.fault == CUT_BODY && web.at > 0) return 0;
  memcpy(buffer, web.answer + web.at, piece);
  web.at += piece;
  return (int)piece;
}
bool esp_http_client_is_complete_data_received(esp_http_client_handle_t client) { return web.fault != CUT_BODY; }
esp_err_t esp_http_client_cleanup(esp_http_client_handle_t client) {
  web.alive--;
  return ESP_OK;
}

static aiot_esp32_identity identity;
static uint8_t *memory;
static uint64_t now_ms;

static void provision(const char *url) {
  nvs_handle_t nvs;
  nvs_open("aiot_batch", NVS_READWRITE, &nvs);
  nvs_set_str(nvs, "key", "aiotbatch_secret");
  nvs_set_str(nvs, "http", url);
  nvs_set_str(nvs, "ca", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  nvs_commit(nvs);
  nvs_close(nvs);
}

static aiot_enroll_state step(uint64_t for_ms) {
  const uint64_t until = now_ms + for_ms;
  aiot_enroll_state state = AIOT_ENROLL_RUNS;
  for (; state == AIOT_ENROLL_RUNS && now_ms < until; now_ms += 20) state = aiot_esp32_enroll_step(now_ms);
  return state;
}

/* Escapes a PEM text for JSON. */
static void escape(const char *pem, char *out) {
  for (; *pem != '\0'; pem++) {
    if (*pem == '\n') *out++ = '\\', *out++ = 'n';
    else *out++ = *pem;
  }
  *out = '\0';
}

/* Answers with a certificate for the key in the request. */
static void approve(checks *c) {
  char csr[1024] = "", pem[2048] = "", escaped[2600];
  aiot_json json;
  aiot_json_begin(&json, web.body, strlen(web.body));
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "csr")) aiot_json_string(&json, csr, sizeof csr);
    else aiot_json_skip(&json);
  }
  BIO *from = BIO_new_mem_buf(csr, -1), *to = BIO_new(BIO_s_mem());
  X509_REQ *request = PEM_read_bio_X509_REQ(from, NULL, NULL, NULL);
  if (!check_at(c, "request", "is valid", 0, request != NULL && X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) == 1)) return;
  EVP_PKEY *issuer = EVP_EC_gen("P-256");
  X509 *certificate = X509_new();
  X509_set_pubkey(certificate, X509_REQ_get0_pubkey(request));
  X509_sign(certificate, issuer, EVP_sha256());
  PEM_write_bio_X509(to, certificate);
  BIO_read(to, pem, sizeof pem - 1);
  escape(pem, escaped);
  web.status = 200;
  snprintf(web.answer, sizeof web.answer,
           "{\"state\":\"issued\",\"name\":\"july-240ac4123456\",\"retryMs\":null,\"identity\":{\"device\":{\"id\":\"dev_1\",\"name\":\"july-240ac4123456\","
           "\"type\":\"esp32\",\"chipId\":null},\"certificate\":\"%s\",\"ca\":\"%s\",\"urls\":{\"http\":\"https://p\",\"mqtts\":\"mqtts://p\"},\"trust\":null,"
           "\"release\":{\"sequence\":0,\"floor\":5000000000}}}",
           escaped, escaped);
  X509_free(certificate);
  X509_REQ_free(request);
  EVP_PKEY_free(issuer);
  BIO_free(from);
  BIO_free(to);
}

static void test_without_batch(checks *c) {
  check_at(c, "no batch", "nothing to do", 0, !aiot_esp32_enroll_identity(&identity));
  aiot_esp32_enroll_forget();
  check_at(c, "no batch", "NVS is not changed", 0, created == 0 && written == 0 && opened == 0);
}

static void test_open(checks *c) {
  provision("http://platform.lan:8080");
  check_at(c, "plain HTTP", "the key is not sent", 0, !aiot_esp32_enroll_identity(&identity) && identity.key[0] == '\0');
  provision("https://platform.lan:8443");
  check_at(c, "batch", "identity", 0, aiot_esp32_enroll_identity(&identity) && strcmp(identity.name, "240ac4123456") == 0);
  check_at(c, "batch", "platform", 0, strcmp(identity.http, "https://platform.lan:8443") == 0 && identity.ca[0] == '-' && strcmp(identity.network.ssid, "hall") == 0);
  check_at(c, "batch", "its key is not in the identity", 0, identity.key[0] == '\0');
  fault = -1;
  check_at(c, "batch", "NVS fails", 0, aiot_esp32_enroll_open(&identity, memory, MEMORY, now_ms) == AIOT_ENROLL_UNUSABLE && written > 0);
  fault = ESP_OK;
  check_at(c, "batch", "no memory", 0, aiot_esp32_enroll_open(&identity, NULL, 0, now_ms) == AIOT_ENROLL_UNUSABLE);
  radio = true;
  check_at(c, "batch", "opened", 0, aiot_esp32_enroll_open(&identity, memory, MEMORY, now_ms) == AIOT_ENROLL_RUNS);
  check_at(c, "batch", "the key is random, and the source is off again", 0, !weak && !source);
  check_at(c, "batch", "all changes are durable", 0, uncommitted == 0 && opened == 0);
}

static void test_requests(checks *c) {
  web.status = 200;
  snprintf(web.answer, sizeof web.answer, "{\"state\":\"waiting\",\"name\":\"july-240ac4123456\",\"retryMs\":5000,\"identity\":null}");
  step(60000);
  check_at(c, "offline", "no request", 0, web.requests == 0);
  joined = true;
  step(3000);
  check_at(c, "request", "sent", 0, web.requests == 1 && web.alive == 0 && web.sent == (int)strlen(web.body));
  check_at(c, "request", "place", 0, strcmp(web.url, "https://platform.lan:8443/api/v1/enrollments") == 0 && web.config.method == HTTP_METHOD_POST);
  check_at(c, "request", "only to this platform", 0, web.config.disable_auto_redirect && web.config.cert_pem == identity.ca && web.config.client_key_pem == NULL);
  check_at(c, "request", "JSON", 0, strcmp(web.type, "application/json") == 0 && strstr(web.body, "\"serial\":\"240ac4123456\",\"mac\":\"24:0a:c4:12:34:56\"") != NULL);
  check_at(c, "request", logged, 0, strcmp(logged, "july-240ac4123456 waits for its approval: aiot device approve july-240ac4123456") == 0);
  static const struct {
    int fault, status;
    const char *retry_after, *log;
  } cases[] = {
      {NO_CLIENT, 200, NULL, "no certificate yet: the platform cannot be reached"},
      {NO_CONNECTION, 200, NULL, "no certificate yet: the platform cannot be reached"},
      {SHORT_WRITE, 200, NULL, "no certificate yet: the platform cannot be reached"},
      {NO_HEADERS, 200, NULL, "no certificate yet: the platform cannot be reached"},
      {BROKEN_BODY, 200, NULL, "no certificate yet: the connection was lost"},
      {CUT_BODY, 200, NULL, "no certificate yet: the connection was lost"},
      {FINE, 429, "120", "no certificate yet: too many requests; next attempt in 1"},
      {FINE, 403, NULL, "the platform refuses this board: status 403; next attempt in "},
      {FINE, 429, "Wed, 21 Oct 2026 07:28:00 GMT", "no certificate yet: too many requests; next attempt in "},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    web.fault = cases[i].fault;
    web.status = cases[i].status;
    web.retry_after = cases[i].retry_after;
    logged[0] = '\0';
    /* The same news is printed once, so the one before must differ. */
    const aiot_enroll_state state = step(2 * 3600 * 1000);
    const bool repeated = i > 0 && strcmp(cases[i].log, cases[i - 1].log) == 0;
    check_at(c, cases[i].log, logged, i, state == AIOT_ENROLL_RUNS && (repeated || strstr(logged, cases[i].log) == logged));
    check_at(c, "request", "each connection is closed", i, web.alive == 0 && opened == 0);
  }
  web.fault = FINE;
  web.retry_after = NULL;
}

static void test_issued(checks *c) {
  nvs_handle_t nvs;
  approve(c);
  check_at(c, "issued", "done", 0, step(3 * 3600 * 1000) == AIOT_ENROLL_DONE && uncommitted == 0 && opened == 0 && web.alive == 0);
  nvs_open("aiot", NVS_READONLY, &nvs);
  static const char keys[][12] = {"name", "id", "type", "chip", "http", "mqtts", "ca", "certificate", "key"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) check_at(c, "issued", keys[i], i, find(nvs, keys[i]) != NULL && find(nvs, keys[i])->type == 's');
  check_at(c, "issued", "layout and slot", 0, find(nvs, "layout")->type == '1' && find(nvs, "layout")->value[0] == 1 && find(nvs, "model_slot")->type == '1');
  check_at(c, "issued", "chip", 0, strcmp((const char *)find(nvs, "chip")->value, CONFIG_IDF_TARGET) == 0);
  nvs_close(nvs);
  nvs_open("aiot_update", NVS_READONLY, &nvs);
  const uint64_t floor = 5000000000;
  check_at(c, "issued", "floor", 0, find(nvs, "floor")->type == '8' && memcmp(find(nvs, "floor")->value, &floor, 8) == 0);
  nvs_close(nvs);
  nvs_open("aiot_batch", NVS_READONLY, &nvs);
  check_at(c, "issued", "the batch is forgotten", 0, find(nvs, "key") == NULL && find(nvs, "ca") == NULL);
  nvs_close(nvs);
  written = 0;
  aiot_esp32_enroll_forget();
  check_at(c, "issued", "the next start changes nothing", 0, written == 0 && opened == 0);
}

int main(void) {
  checks c = {0, 0};
  memory = malloc(MEMORY);
  test_without_batch(&c);
  test_open(&c);
  test_requests(&c);
  test_issued(&c);
  free(memory);
  return checks_end(&c);
}
