#include "settings.h"

#if AIOT_NETWORK == AIOT_NETWORK_WIFI
#include <stdatomic.h>
#include <string.h>

#include "esp32.h"
#include "esp_event.h"
#include "esp_netif.h"
#include "esp_random.h"
#include "esp_wifi.h"

/* Maximum time for getting an address. Then the access point is abandoned. */
enum { ADDRESS_MS = 30000 };

/* Written by the event task, read by the loop. */
static atomic_bool joined;
static atomic_uint lost, addressless;

static aiot_backoff backoff;
static unsigned seen, seen_addressless;
/* `leaving`: whether the next disconnection is our own. It was counted when it was requested. */
static bool started, trying, leaving;
static uint64_t since_ms;

static void on_event(void *context, esp_event_base_t base, int32_t id, void *data) {
  (void)context;
  (void)data;
  if (base == IP_EVENT && id == IP_EVENT_STA_GOT_IP) atomic_store(&joined, true);
  /* The interface may also report a lost address long after a disconnection, when it is irrelevant. */
  if (base == IP_EVENT && id == IP_EVENT_STA_LOST_IP && atomic_load(&joined)) {
    atomic_store(&joined, false);
    atomic_fetch_add(&addressless, 1);
  }
  if (base == WIFI_EVENT && id == WIFI_EVENT_STA_DISCONNECTED) {
    atomic_store(&joined, false);
    atomic_fetch_add(&lost, 1);
  }
}

static bool set_up(const aiot_esp32_identity *identity, esp_netif_t *interface) {
  char name[AIOT_HOSTNAME_BYTES];
  aiot_hostname(identity->name, name);
  esp_netif_set_hostname(interface, name);
  wifi_config_t config;
  memset(&config, 0, sizeof config);
  memcpy(config.sta.ssid, identity->ssid, strnlen(identity->ssid, sizeof config.sta.ssid));
  memcpy(config.sta.password, identity->password, strnlen(identity->password, sizeof config.sta.password));
  /* If the network has a password, an open network with the same name is not accepted. */
  config.sta.threshold.authmode = identity->password[0] == '\0' ? WIFI_AUTH_OPEN : WIFI_AUTH_WPA2_PSK;
  /*
   * Selects the strongest access point with that name. This requires a scan of all channels; a fast scan would use the first one
   * found.
   */
  config.sta.scan_method = WIFI_ALL_CHANNEL_SCAN;
  config.sta.sort_method = WIFI_CONNECT_AP_BY_SIGNAL;
  /* Both methods of WPA3 are supported: hash-to-element, which some access points require, and the older one. */
  config.sta.sae_pwe_h2e = WPA3_SAE_PWE_BOTH;
  config.sta.pmf_cfg.capable = true;
  return esp_event_handler_instance_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, NULL) == ESP_OK &&
         esp_event_handler_instance_register(IP_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, NULL) == ESP_OK &&
         esp_wifi_set_config(WIFI_IF_STA, &config) == ESP_OK && esp_wifi_start() == ESP_OK;
}

bool aiot_esp32_network_start(const aiot_esp32_identity *identity) {
  /*
   * The stack is started even without Wi-Fi settings, because sockets, name lookups and the time client wait for its task, and
   * crash the chip if it does not run.
   */
  if (esp_netif_init() != ESP_OK || esp_event_loop_create_default() != ESP_OK) return false;
  if (identity->ssid[0] == '\0') return false;
  wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
  /* The password is already in NVS. The driver would also store it there, together with its own state, and fill the partition. */
  init.nvs_enable = 0;
  esp_netif_t *interface = esp_netif_create_default_wifi_sta();
  if (interface == NULL || esp_wifi_init(&init) != ESP_OK) return false;
  if (esp_wifi_set_storage(WIFI_STORAGE_RAM) != ESP_OK || esp_wifi_set_mode(WIFI_MODE_STA) != ESP_OK) return false;
  started = set_up(identity, interface);
  return started;
}

static void failed(uint64_t now_ms) {
  trying = false;
  aiot_backoff_failed(&backoff, now_ms, esp_random());
}

void aiot_esp32_network_step(uint64_t now_ms) {
  if (!started) return;
  const unsigned losses = atomic_load(&lost), lost_addresses = atomic_load(&addressless);
  if (losses != seen) {
    seen = losses;
    if (leaving) leaving = false;
    else failed(now_ms);
  } else if (lost_addresses != seen_addressless) {
    /* The board is still associated. Another address may arrive, but the wait is limited. */
    trying = true;
    since_ms = now_ms;
  }
  seen_addressless = lost_addresses;
  if (atomic_load(&joined)) {
    if (trying) aiot_backoff_worked(&backoff);
    trying = false;
    return;
  }
  if (trying && now_ms - since_ms >= ADDRESS_MS) {
    leaving = esp_wifi_disconnect() == ESP_OK;
    failed(now_ms);
  }
  if (trying || !aiot_backoff_due(&backoff, now_ms)) return;
  leaving = false;
  since_ms = now_ms;
  trying = esp_wifi_connect() == ESP_OK;
  if (!trying) failed(now_ms);
}

bool aiot_esp32_network_joined(void) { return atomic_load(&joined); }

void aiot_esp32_network_stop(void) {
  if (started) esp_wifi_stop();
  started = false;
}
#endif
