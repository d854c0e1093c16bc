#include "settings.h"

#if AIOT_NETWORK == AIOT_NETWORK_WIFI
#include <stdatomic.h>
#include <string.h>

#include "esp32.h"
#include "esp_event.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_random.h"
#include "esp_wifi.h"

/* Maximum time for getting an address. Then the access point is abandoned. */
enum { ADDRESS_MS = 30000, SCAN_MS = 10000 };

/* Written by the event task, read by the loop. */
static atomic_bool joined, scan_over;
static atomic_uint lost, addressless;

static aiot_networks networks;
static esp_netif_t *station;

static aiot_backoff backoff;
static unsigned seen, seen_addressless;
/* A running scan. No connection attempt is started until it ends. */
static bool scanning;
static uint64_t scan_ms;
/* Time of the last step. */
static uint64_t step_ms;
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
  if (base == WIFI_EVENT && id == WIFI_EVENT_SCAN_DONE) atomic_store(&scan_over, true);
  if (base == WIFI_EVENT && id == WIFI_EVENT_STA_DISCONNECTED) {
    atomic_store(&joined, false);
    atomic_fetch_add(&lost, 1);
  }
}

static uint32_t address_of(const uint8_t bytes[4]) {
  /* lwIP keeps addresses in network byte order. */
  uint32_t address;
  memcpy(&address, bytes, sizeof address);
  return address;
}

/* Uses the network's fixed addresses, or asks DHCP for addresses. The driver reports both kinds in the same way. */
static bool set_addresses(const aiot_network *network) {
  /* Errors are ignored, because starting a running DHCP client, or stopping a stopped one, fails. */
  if (!network->fixed) {
    esp_netif_dhcpc_start(station);
    return true;
  }
  const esp_netif_ip_info_t info = {
      .ip = {address_of(network->addresses.address)},
      .netmask = {address_of(network->addresses.mask)},
      .gw = {address_of(network->addresses.gateway)},
  };
  esp_netif_dns_info_t dns;
  memset(&dns, 0, sizeof dns);
  dns.ip.type = ESP_IPADDR_TYPE_V4;
  dns.ip.u_addr.ip4.addr = address_of(network->addresses.dns);
  esp_netif_dhcpc_stop(station);
  return esp_netif_set_ip_info(station, &info) == ESP_OK && esp_netif_set_dns_info(station, ESP_NETIF_DNS_MAIN, &dns) == ESP_OK;
}

/* Configures the network for the next attempt. */
static bool choose(const aiot_network *network) {
  if (!set_addresses(network) || !aiot_esp32_enterprise_use(network->enterprise)) return false;
  wifi_config_t config;
  memset(&config, 0, sizeof config);
  memcpy(config.sta.ssid, network->ssid, strnlen(network->ssid, sizeof config.sta.ssid));
  memcpy(config.sta.password, network->password, strnlen(network->password, sizeof config.sta.password));
  /* If the network has a password, an open network with the same name is not accepted. */
  config.sta.threshold.authmode = network->password[0] == '\0' ? WIFI_AUTH_OPEN : WIFI_AUTH_WPA2_PSK;
  if (network->enterprise) config.sta.threshold.authmode = WIFI_AUTH_WPA2_ENTERPRISE;
  /*
   * Selects the strongest access point with that name. This requires a scan of all channels; a fast scan would use the first one
   * found. The scan also asks for the name, so a hidden network is found.
   */
  config.sta.scan_method = WIFI_ALL_CHANNEL_SCAN;
  config.sta.sort_method = WIFI_CONNECT_AP_BY_SIGNAL;
  /* Both methods of WPA3 are supported: hash-to-element, which some access points require, and the older one. */
  config.sta.sae_pwe_h2e = WPA3_SAE_PWE_BOTH;
  config.sta.pmf_cfg.capable = true;
  return esp_wifi_set_config(WIFI_IF_STA, &config) == ESP_OK;
}

static bool set_up(const aiot_esp32_identity *identity) {
  char name[AIOT_HOSTNAME_BYTES];
  aiot_hostname(identity->name, name);
  esp_netif_set_hostname(station, name);
  return esp_event_handler_instance_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, NULL) == ESP_OK &&
         esp_event_handler_instance_register(IP_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, NULL) == ESP_OK &&
         esp_wifi_start() == ESP_OK;
}

bool aiot_esp32_network_start(const aiot_esp32_identity *identity) {
  /*
   * The stack is started even without Wi-Fi settings, because sockets, name lookups and the time client wait for its task, and
   * crash the chip if it does not run.
   */
  if (esp_netif_init() != ESP_OK || esp_event_loop_create_default() != ESP_OK) return false;
  uint8_t stored[AIOT_NETWORKS_BYTES];
  aiot_networks_open(&networks, stored, aiot_esp32_identity_networks(stored, sizeof stored), &identity->network);
  wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
  /* The passwords are already in NVS. The driver would also store one there, together with its own state, and fill the partition. */
  init.nvs_enable = 0;
  station = esp_netif_create_default_wifi_sta();
  if (station == NULL || esp_wifi_init(&init) != ESP_OK) return false;
  if (esp_wifi_set_storage(WIFI_STORAGE_RAM) != ESP_OK || esp_wifi_set_mode(WIFI_MODE_STA) != ESP_OK) return false;
  started = set_up(identity);
  return started;
}

static void failed(uint64_t now_ms) {
  trying = false;
  aiot_networks_failed(&networks);
  aiot_backoff_failed(&backoff, now_ms, esp_random());
}

static void keep(void) {
  uint8_t bytes[AIOT_NETWORKS_BYTES];
  networks.dirty = false;
  if (!aiot_esp32_identity_keep_networks(bytes, aiot_networks_write(&networks, bytes, sizeof bytes))) ESP_LOGW("aiot", "the network cannot be stored");
  memset(bytes, 0, sizeof bytes);
}

void aiot_esp32_network_step(uint64_t now_ms) {
  if (!started) return;
  step_ms = now_ms;
  if (aiot_networks_step(&networks, now_ms)) aiot_esp32_wifi_leave();
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
    if (!networks.joined) aiot_networks_joined(&networks);
    if (networks.dirty) keep();
    trying = false;
    return;
  }
  if (trying && now_ms - since_ms >= ADDRESS_MS) {
    leaving = esp_wifi_disconnect() == ESP_OK;
    failed(now_ms);
  }
  if (trying || !aiot_backoff_due(&backoff, now_ms)) return;
  const aiot_network *network = aiot_networks_current(&networks);
  if (scanning && now_ms - scan_ms >= SCAN_MS) scanning = false;
  if (network == NULL || scanning) return;
  leaving = false;
  since_ms = now_ms;
  trying = choose(network) && esp_wifi_connect() == ESP_OK;
  if (!trying) failed(now_ms);
}

aiot_networks *aiot_esp32_wifi_networks(void) { return &networks; }

void aiot_esp32_wifi_leave(void) {
  if (!started) return;
  if (trying || atomic_load(&joined)) leaving = esp_wifi_disconnect() == ESP_OK;
  atomic_store(&joined, false);
  trying = false;
  /* The next attempt follows within a second, after the driver has reported the disconnection. */
  aiot_backoff_worked(&backoff);
  aiot_backoff_failed(&backoff, step_ms, esp_random());
}

bool aiot_esp32_wifi_scan(void) {
  if (!started || trying) return false;
  atomic_store(&scan_over, false);
  scanning = esp_wifi_scan_start(NULL, false) == ESP_OK;
  scan_ms = step_ms;
  return scanning;
}

aiot_scan_state aiot_esp32_wifi_scanned(aiot_seen_network *network) {
  wifi_ap_record_t record;
  if (!atomic_load(&scan_over)) return AIOT_SCAN_RUNS;
  if (esp_wifi_scan_get_ap_record(&record) != ESP_OK) {
    esp_wifi_clear_ap_list();
    scanning = false;
    return AIOT_SCAN_OVER;
  }
  memset(network, 0, sizeof *network);
  memcpy(network->ssid, record.ssid, strnlen((const char *)record.ssid, sizeof network->ssid - 1));
  network->dbm = record.rssi;
  network->secured = record.authmode != WIFI_AUTH_OPEN;
  return AIOT_SCAN_NETWORK;
}

int aiot_esp32_network_rssi(void) {
  wifi_ap_record_t record;
  return atomic_load(&joined) && esp_wifi_sta_get_ap_info(&record) == ESP_OK ? record.rssi : 0;
}

bool aiot_esp32_network_joined(void) { return atomic_load(&joined); }

void aiot_esp32_network_stop(void) {
  if (started) esp_wifi_stop();
  started = false;
}
#endif
