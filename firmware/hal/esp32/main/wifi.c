#include <stdatomic.h>
#include <string.h>

#include "esp32.h"
#include "esp_event.h"
#include "esp_netif.h"
#include "esp_random.h"
#include "esp_wifi.h"

/* Written by the event task, read by the loop. */
static atomic_bool joined;
static atomic_uint lost;

static aiot_backoff backoff;
static unsigned seen;
static bool started, trying;

static void on_event(void *context, esp_event_base_t base, int32_t id, void *data) {
  (void)context;
  (void)data;
  if (base == IP_EVENT && id == IP_EVENT_STA_GOT_IP) atomic_store(&joined, true);
  if (base == WIFI_EVENT && id == WIFI_EVENT_STA_DISCONNECTED) {
    atomic_store(&joined, false);
    atomic_fetch_add(&lost, 1);
  }
}

bool aiot_esp32_wifi_start(const aiot_esp32_identity *identity) {
  if (identity->ssid[0] == '\0') return false;
  const wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
  if (esp_netif_init() != ESP_OK || esp_event_loop_create_default() != ESP_OK) return false;
  if (esp_netif_create_default_wifi_sta() == NULL || esp_wifi_init(&init) != ESP_OK) return false;
  /* The password is in NVS once; the driver need not keep another copy. */
  if (esp_wifi_set_storage(WIFI_STORAGE_RAM) != ESP_OK || esp_wifi_set_mode(WIFI_MODE_STA) != ESP_OK) return false;
  wifi_config_t config;
  memset(&config, 0, sizeof config);
  memcpy(config.sta.ssid, identity->ssid, strnlen(identity->ssid, sizeof config.sta.ssid));
  memcpy(config.sta.password, identity->password, strnlen(identity->password, sizeof config.sta.password));
  /* A network with a password is not left for an open one of its name. */
  config.sta.threshold.authmode = identity->password[0] == '\0' ? WIFI_AUTH_OPEN : WIFI_AUTH_WPA2_PSK;
  started = esp_event_handler_instance_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, NULL) == ESP_OK &&
            esp_event_handler_instance_register(IP_EVENT, IP_EVENT_STA_GOT_IP, on_event, NULL, NULL) == ESP_OK &&
            esp_wifi_set_config(WIFI_IF_STA, &config) == ESP_OK && esp_wifi_start() == ESP_OK;
  return started;
}

void aiot_esp32_wifi_step(uint64_t now_ms) {
  if (!started) return;
  if (atomic_load(&joined)) {
    if (trying) aiot_backoff_worked(&backoff);
    trying = false;
  }
  const unsigned losses = atomic_load(&lost);
  if (losses != seen) {
    seen = losses;
    trying = false;
    aiot_backoff_failed(&backoff, now_ms, esp_random());
  }
  if (trying || atomic_load(&joined) || !aiot_backoff_due(&backoff, now_ms)) return;
  trying = esp_wifi_connect() == ESP_OK;
  if (!trying) aiot_backoff_failed(&backoff, now_ms, esp_random());
}

bool aiot_esp32_wifi_joined(void) { return atomic_load(&joined); }

void aiot_esp32_wifi_stop(void) {
  if (started) esp_wifi_stop();
  started = false;
}
