/*
 * Enrollment with the key of a batch, before the device is opened. Until then, its memory and the stack of its task are free, so a board
 * that enrolls needs no memory of its own. Requests block this task; each of their steps is limited to TIMEOUT_MS.
 */
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "esp32.h"
#include "esp_http_client.h"
#include "esp_log.h"
#include "esp_mac.h"
#include "nvs.h"
#include "nvs_flash.h"
#if AIOT_NETWORK != AIOT_NETWORK_WIFI
#include "bootloader_random.h"
#endif

#if AIOT_ENROLL

enum { TIMEOUT_MS = 10000, BUFFER = 512, MAC_BYTES = 6 };

_Static_assert(sizeof((aiot_esp32_identity *)0)->http == AIOT_ENROLL_URL_BYTES && sizeof((aiot_esp32_identity *)0)->mqtts == AIOT_ENROLL_URL_BYTES &&
                   sizeof((aiot_esp32_identity *)0)->ca == AIOT_ENROLL_PEM_BYTES && sizeof((aiot_esp32_identity *)0)->certificate == AIOT_ENROLL_PEM_BYTES &&
                   sizeof((aiot_esp32_identity *)0)->key == AIOT_ENROLL_KEY_BYTES,
               "an identity that was stored can be read");

static const char tag[] = "aiot", batch[] = "aiot_batch";

/* It is at the start of the device's memory. */
typedef struct {
  aiot_enroll enroll;
  const aiot_esp32_identity *identity;
  esp_http_client_handle_t client;
  uint32_t retry_after_s;
  char serial[2 * MAC_BYTES + 1];
  char mac[3 * MAC_BYTES];
} board;

static board *self;

static int32_t get_text(void *context, const char *space, const char *key, char *out, size_t room) {
  nvs_handle_t nvs;
  size_t bytes = room;
  (void)context;
  const esp_err_t opened = nvs_open(space, NVS_READONLY, &nvs);
  if (opened != ESP_OK) return opened == ESP_ERR_NVS_NOT_FOUND ? AIOT_SETTING_ABSENT : AIOT_SETTING_FAILED;
  const esp_err_t got = nvs_get_str(nvs, key, out, &bytes);
  nvs_close(nvs);
  if (got == ESP_OK) return (int32_t)bytes - 1;
  return got == ESP_ERR_NVS_NOT_FOUND ? AIOT_SETTING_ABSENT : AIOT_SETTING_FAILED;
}

/* Ends a change, which is then durable. */
static bool commit(nvs_handle_t nvs, esp_err_t changed) {
  const bool done = changed == ESP_OK && nvs_commit(nvs) == ESP_OK;
  nvs_close(nvs);
  return done;
}

static bool put_text(void *context, const char *space, const char *key, const char *value) {
  nvs_handle_t nvs;
  (void)context;
  return nvs_open(space, NVS_READWRITE, &nvs) == ESP_OK && commit(nvs, nvs_set_str(nvs, key, value));
}

static bool put_number(void *context, const char *space, const char *key, int bits, uint64_t value) {
  nvs_handle_t nvs;
  (void)context;
  if (nvs_open(space, NVS_READWRITE, &nvs) != ESP_OK) return false;
  if (bits == 8) return commit(nvs, nvs_set_u8(nvs, key, (uint8_t)value));
  if (bits == 32) return commit(nvs, nvs_set_u32(nvs, key, (uint32_t)value));
  return commit(nvs, nvs_set_u64(nvs, key, value));
}

static bool put_blob(void *context, const char *space, const char *key, const void *value, size_t bytes) {
  nvs_handle_t nvs;
  (void)context;
  return nvs_open(space, NVS_READWRITE, &nvs) == ESP_OK && commit(nvs, nvs_set_blob(nvs, key, value, bytes));
}

static bool erase(void *context, const char *space) {
  nvs_handle_t nvs;
  (void)context;
  /* Opening a namespace for writing would create it. */
  const esp_err_t opened = nvs_open(space, NVS_READONLY, &nvs);
  if (opened == ESP_ERR_NVS_NOT_FOUND) return true;
  if (opened == ESP_OK) nvs_close(nvs);
  return opened == ESP_OK && nvs_open(space, NVS_READWRITE, &nvs) == ESP_OK && commit(nvs, nvs_erase_all(nvs));
}

static const aiot_settings settings = {NULL, get_text, put_text, put_number, put_blob, erase};

static esp_err_t on_event(esp_http_client_event_t *event) {
  /* Instead of seconds, a proxy may send a date, which counts as none. */
  if (event->event_id == HTTP_EVENT_ON_HEADER && strcasecmp(event->header_key, "retry-after") == 0) {
    const unsigned long seconds = strtoul(event->header_value, NULL, 10);
    self->retry_after_s = seconds > 86400 ? 86400 : (uint32_t)seconds;
  }
  return ESP_OK;
}

static void close_request(void *context) {
  (void)context;
  if (self->client != NULL) esp_http_client_cleanup(self->client);
  self->client = NULL;
}

/* Sends the request, and reads the header of the response. */
static bool send_request(const char *body, int bytes) {
  if (esp_http_client_set_header(self->client, "Content-Type", "application/json") != ESP_OK) return false;
  return esp_http_client_open(self->client, bytes) == ESP_OK && esp_http_client_write(self->client, body, bytes) == bytes &&
         esp_http_client_fetch_headers(self->client) >= 0;
}

static bool post(void *context, const char *path, const char *body, size_t bytes) {
  char url[AIOT_ENROLL_URL_BYTES + 64];
  (void)context;
  const int length = snprintf(url, sizeof url, "%s%s", self->identity->http, path);
  if (length < 0 || (size_t)length >= sizeof url) return false;
  const esp_http_client_config_t config = {
      .url = url,
      .method = HTTP_METHOD_POST,
      .cert_pem = self->identity->ca,
      .event_handler = on_event,
      .timeout_ms = TIMEOUT_MS,
      /* The batch's key is sent to no other server. */
      .disable_auto_redirect = true,
      .buffer_size = BUFFER,
      .buffer_size_tx = BUFFER,
  };
  self->retry_after_s = 0;
  self->client = esp_http_client_init(&config);
  if (self->client != NULL && send_request(body, (int)bytes)) return true;
  close_request(NULL);
  return false;
}

static int32_t read_response(void *context, void *out, size_t bytes) {
  (void)context;
  const int got = esp_http_client_read(self->client, out, (int)bytes);
  if (got != 0) return got > 0 ? got : AIOT_HTTP_BROKEN;
  return esp_http_client_is_complete_data_received(self->client) ? AIOT_HTTP_END : AIOT_HTTP_BROKEN;
}

static int status(void *context) {
  (void)context;
  return esp_http_client_get_status_code(self->client);
}

static uint32_t retry_after_s(void *context) {
  (void)context;
  return self->retry_after_s;
}

static const aiot_post requests = {NULL, post, read_response, status, retry_after_s, close_request};

static void on_news(void *context, aiot_enroll_news news, const char *text, uint32_t pause_ms) {
  (void)context;
  const unsigned seconds = (unsigned)(pause_ms / 1000);
  switch (news) {
    case AIOT_ENROLL_WAITS:
      ESP_LOGI(tag, "%s waits for its approval: aiot device approve %s", text, text);
      break;
    case AIOT_ENROLL_STORED:
      ESP_LOGI(tag, "%s is approved, and has its certificate", text);
      break;
    case AIOT_ENROLL_REFUSED:
      ESP_LOGE(tag, "the platform refuses this board: %s; next attempt in %u s", text, seconds);
      break;
    case AIOT_ENROLL_LIMITED:
    case AIOT_ENROLL_UNREACHABLE:
    case AIOT_ENROLL_MALFORMED:
    case AIOT_ENROLL_UNSTORED:
      ESP_LOGW(tag, "no certificate yet: %s; next attempt in %u s", text, seconds);
      break;
  }
}

bool aiot_esp32_enroll_identity(aiot_esp32_identity *identity) {
  uint8_t mac[MAC_BYTES];
  /* Reading Wi-Fi also opens NVS, and clears the identity. A board without Wi-Fi settings gets them on the console. */
  aiot_esp32_identity_read_wifi(identity);
  if (get_text(NULL, batch, "key", identity->key, sizeof identity->key) <= 0 || get_text(NULL, batch, "http", identity->http, sizeof identity->http) <= 0 ||
      get_text(NULL, batch, "ca", identity->ca, sizeof identity->ca) <= 0 || esp_efuse_mac_get_default(mac) != ESP_OK)
    return false;
  memset(identity->key, 0, sizeof identity->key);
  if (strncmp(identity->http, "https://", 8) != 0) {
    ESP_LOGE(tag, "the batch's URL is not https, and its key would be readable on the way");
    return false;
  }
  /* Until it has a name, a board is known by its serial number. */
  for (size_t i = 0; i < MAC_BYTES; i++) snprintf(identity->name + 2 * i, 3, "%02x", mac[i]);
  return true;
}

aiot_enroll_state aiot_esp32_enroll_open(const aiot_esp32_identity *identity, void *memory, size_t bytes, uint64_t now_ms) {
  const size_t used = (sizeof *self + 15) / 16 * 16;
  if (memory == NULL || bytes < used) return AIOT_ENROLL_UNUSABLE;
  self = memory;
  memset(self, 0, sizeof *self);
  self->identity = identity;
  snprintf(self->serial, sizeof self->serial, "%.12s", identity->name);
  for (size_t i = 0; i < MAC_BYTES; i++) snprintf(self->mac + 3 * i, 4, "%.2s%s", identity->name + 2 * i, i + 1 < MAC_BYTES ? ":" : "");
  const aiot_enroll_setup setup = {
      .settings = &settings,
      .keys = &aiot_keys_mbedtls,
      .crypto = &aiot_crypto_mbedtls,
      .post = &requests,
      .serial = self->serial,
      .mac = self->mac,
      .chip = CONFIG_IDF_TARGET,
      .memory = (char *)memory + used,
      .bytes = bytes - used,
      .news = on_news,
  };
  /* Random numbers are only good while the radio is on, or with this source, which the radio must not share. */
#if AIOT_NETWORK != AIOT_NETWORK_WIFI
  bootloader_random_enable();
#endif
  const aiot_enroll_state state = aiot_enroll_open(&self->enroll, &setup, now_ms);
#if AIOT_NETWORK != AIOT_NETWORK_WIFI
  bootloader_random_disable();
#endif
  return state;
}

aiot_enroll_state aiot_esp32_enroll_step(uint64_t now_ms) { return aiot_enroll_step(&self->enroll, now_ms, aiot_esp32_network_joined()); }

void aiot_esp32_enroll_forget(void) {
  if (!aiot_enroll_forget(&settings)) ESP_LOGW(tag, "the key of the batch cannot be deleted");
}
#endif
