/*
 * hal/esp32's startup, network and clock on simulated vendor components. Each component in turn is missing or fails, in a
 * separate process, because a chip starts with fresh memory. Everything that does not need the component must work, and the
 * network stack must be used only once it is running.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aiot/crash.h"
#include "check.h"
#include "driver/uart.h"
#include "driver/usb_serial_jtag.h"
#include "esp32.h"
#include "esp_app_desc.h"
#include "esp_core_dump.h"
#include "esp_efuse.h"
#include "esp_event.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_netif_sntp.h"
#include "esp_partition.h"
#include "esp_random.h"
#include "esp_sleep.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "esp_timer.h"
#include "esp_wifi.h"
#include "esp_eap_client.h"
#include "nvs.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "nvs.h"
#include "sdkconfig.h"
#include "settings.h"
#include "sim_core_dump.h"

#ifdef malloc
/* A board without external RAM: it has no block for a model of speech. */
void *small_malloc(size_t bytes) { return bytes > 128u * 1024u ? NULL : calloc(1, bytes); }
#endif

/* Most of these simulated functions ignore their arguments. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

typedef enum {
  NOTHING, IDENTITY, WIFI_CREDENTIALS, NETIF, EVENT_LOOP, INTERFACE, RADIO, HANDLER, RADIO_START, CONNECT, SNTP, MODELS, PROGRAMS, CONFIGS, TRUST, RECORDS, MQTT, HTTP,
  DEVICE, SAMPLER, SERVO, CONVERTER, SLEPT, NO_ADDRESS, LOST_ADDRESS, LOST_FOR_GOOD, REFUSED, CRASHED, CRASHED_LONG_AGO,
  CRASHED_OFFLINE, CRASH_CUT, CRASHED_TOLD, CRASHED_BEFORE_ROLLBACK, CRASHED_ASLEEP, CRASHED_SHORT, CRASHED_PUSHED_OUT, CRASH_FLASHED, CONSOLE, NEW_NETWORK, NEW_REFUSED, NEW_BESIDE_OLD, FIXED, FIXED_REFUSED, NEW_BESIDE_FIXED,
  NEW_OVER_USB, NEW_OVER_USB_NOISE, PEAP, TTLS, TTLS_PAP, TLS, NO_CA, NEW_BESIDE_PEAP, ENROLLS, ENROLLS_NOT, ENROLLS_LATE, ENROLLS_NOWHERE, PARTS
} part;

/* Results of a run, for the parent process. */
typedef struct {
  bool radio_first, enrolled, restarted, crashed, early, late, stack, dhcp_stopped;
  int dhcp_starts;
  esp_netif_ip_info_t addresses;
  esp_netif_dns_info_t dns;
  uint64_t restarted_ms;
  /* The last report of a crash, and the number of reports. */
  char crash[600];
  int crashes;
  bool crash_forgotten;
  bool crash_arrived;
  /* Fields of the samples, as they are named in messages. */
  char fields[AIOT_NAME_BYTES];
  int64_t secure_version;
  size_t memory_bytes;
  int forgets, erased, turns, trials, connects, disconnects, starts, nvs, kept;
  uint8_t networks[AIOT_NETWORKS_BYTES];
  /* Calls of the supplicant, and the authentication mode of the first attempt. */
  char login[400];
  wifi_auth_mode_t first_mode;
  char said[400];
  size_t said_bytes;
  char hostname[40];
  char server[3][64];
  esp_sntp_config_t sntp;
  wifi_sta_config_t config;
  uint64_t connected_at[64];
} outcome;

static outcome *out;
static struct {
  part part;
  bool stack, address, had_address, answered;
  uint64_t now_ms, connected_ms, address_ms;
  int seen_connects, asked;
  esp_event_handler_t handler;
} sim;

static const aiot_flash partition;
static const aiot_mqtt mqtt;
static const aiot_http http;
const aiot_crypto aiot_crypto_mbedtls;
const aiot_inference aiot_interpreter;
esp_event_base_t const WIFI_EVENT = "WIFI_EVENT";
esp_event_base_t const IP_EVENT = "IP_EVENT";

enum { TURN_MS = 100, TURNS = 6000, HOUR = 36000, ADDRESS_MS = 2000, SECURE_VERSION = 3 };

/* The vendor's stack fails an assertion if its own task is not running. */
static void need_stack(void) {
  if (sim.stack) return;
  out->crashed = true;
  _exit(0);
}

/* Whether the console receives settings in this run, and whether the network that they name refuses the board. */
static bool over_usb(void) { return sim.part == NEW_OVER_USB || sim.part == NEW_OVER_USB_NOISE; }
static bool has_new(void) {
  return sim.part == NEW_NETWORK || sim.part == NEW_REFUSED || sim.part == NEW_BESIDE_OLD || sim.part == NEW_BESIDE_FIXED || sim.part == NEW_BESIDE_PEAP || over_usb();
}
static bool has_fixed(void) { return sim.part == FIXED || sim.part == FIXED_REFUSED || sim.part == NEW_BESIDE_FIXED; }
static bool has_login(void) { return sim.part >= PEAP && sim.part <= NEW_BESIDE_PEAP; }
static bool refuses(void) {
  return sim.part == REFUSED || (sim.part == NEW_REFUSED && strcmp((const char *)out->config.ssid, "new") == 0);
}

static void happen(esp_event_base_t base, int32_t id) {
  if (base == IP_EVENT) sim.address = id == IP_EVENT_STA_GOT_IP;
  if (base == WIFI_EVENT) sim.address = false;
  sim.had_address = sim.had_address || sim.address;
  sim.handler(NULL, base, id, NULL);
}

/* Duration of a run, in turns: ten minutes, or slightly more than an hour. */
static int turns_of(part which) { return which == CRASHED_LONG_AGO || which == CRASHED_OFFLINE ? HOUR + 100 : TURNS; }

/* Simulates a tenth of a second of the loop, including the access point. */
static void turn(void) {
  sim.now_ms += TURN_MS;
  if (++out->turns == turns_of(sim.part)) _exit(0);
  if (out->connects > sim.seen_connects && out->connects <= 64) out->connected_at[out->connects - 1] = sim.now_ms;
  if (out->connects > sim.seen_connects && refuses()) {
    happen(WIFI_EVENT, WIFI_EVENT_STA_DISCONNECTED);
  }
  if (out->connects > sim.seen_connects) sim.answered = refuses() || sim.part == NO_ADDRESS || sim.part == CONNECT || sim.part == CRASHED_OFFLINE;
  sim.seen_connects = out->connects;
  if (out->connects > 0 && !sim.answered && sim.now_ms - sim.connected_ms >= ADDRESS_MS) {
    sim.answered = true;
    sim.address_ms = sim.now_ms;
    happen(IP_EVENT, IP_EVENT_STA_GOT_IP);
  }
  if ((sim.part == LOST_ADDRESS || sim.part == LOST_FOR_GOOD) && out->connects == 1 && sim.address && sim.now_ms - sim.address_ms == 5000) happen(IP_EVENT, IP_EVENT_STA_LOST_IP);
  /* The lease is renewed before the board abandons the access point. */
  if (sim.part == LOST_ADDRESS && out->connects == 1 && !sim.address && sim.had_address && sim.now_ms - sim.address_ms == 9000) happen(IP_EVENT, IP_EVENT_STA_GOT_IP);
}

void esp_restart(void) {
  out->restarted = true;
  out->restarted_ms = sim.now_ms;
  _exit(0);
}

void esp_deep_sleep_start(void) { _exit(0); }

void esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...) {}

BaseType_t xTaskCreate(TaskFunction_t function, const char *name, uint32_t stack, void *context, UBaseType_t priority, TaskHandle_t *task) {
  function(context);
  return pdPASS;
}

static bool enrolls(void) { return sim.part == ENROLLS || sim.part == ENROLLS_NOT || sim.part == ENROLLS_LATE || sim.part == ENROLLS_NOWHERE; }

bool aiot_esp32_identity_read(aiot_esp32_identity *identity, const aiot_crypto *crypto) {
  memset(identity, 0, sizeof *identity);
  snprintf(identity->name, sizeof identity->name, "Pump_7");
  snprintf(identity->mqtts, sizeof identity->mqtts, "mqtts://platform.lan:8883");
  if (sim.part != WIFI_CREDENTIALS && sim.part != NEW_NETWORK && !over_usb()) snprintf(identity->network.ssid, sizeof identity->network.ssid, "hall");
  if (!has_login()) snprintf(identity->network.password, sizeof identity->network.password, "correct horse");
  identity->network.enterprise = has_login();
  if (has_fixed()) aiot_network_fix(&identity->network, "10.0.0.7", "255.255.252.0", "10.0.0.1", "10.0.0.2");
  return sim.part != IDENTITY && !enrolls();
}
/* A board with the key of a batch. Its key needs the radio's random numbers. */
bool aiot_esp32_enroll_identity(aiot_esp32_identity *identity) {
  snprintf(identity->name, sizeof identity->name, "240ac4123456");
  snprintf(identity->http, sizeof identity->http, "https://platform.lan:8443");
  return enrolls();
}
aiot_enroll_state aiot_esp32_enroll_open(const aiot_esp32_identity *identity, void *memory, size_t bytes, uint64_t now_ms) {
  out->radio_first = sim.stack && out->memory_bytes == 0;
  out->memory_bytes = bytes;
  return sim.part == ENROLLS_NOT ? AIOT_ENROLL_UNUSABLE : AIOT_ENROLL_RUNS;
}
aiot_enroll_state aiot_esp32_enroll_step(uint64_t now_ms) {
  turn();
  out->enrolled = sim.part == ENROLLS && sim.address && out->turns > 100;
  return out->enrolled ? AIOT_ENROLL_DONE : AIOT_ENROLL_RUNS;
}
void aiot_esp32_enroll_forget(void) { out->forgets++; }
void aiot_esp32_identity_keep(const aiot_record *record) {}
size_t aiot_esp32_identity_networks(void *networks, size_t room) {
  return 0;
}
bool aiot_esp32_identity_keep_networks(const void *networks, size_t bytes) {
  out->kept++;
  memcpy(out->networks, networks, bytes);
  return true;
}
esp_err_t uart_driver_install(uart_port_t port, int receive_bytes, int send_bytes, int events, QueueHandle_t *queue, int interrupt_flags) {
  return sim.part == CONSOLE ? -1 : ESP_OK;
}
/* After half a minute, Improv's command 1 arrives with the network "new", and after two minutes, a request for the state. */
static int next_request(void *bytes) {
  static const char settings[] = "\x01\x12\x03new\x0d" "correct horse";
  static const char state[] = "\x02\x00";
  const bool first = out->turns == 300, second = out->turns == 1200;
  if (!has_new() || sim.asked == out->turns || (!first && !second)) return 0;
  sim.asked = out->turns;
  uint8_t *to = bytes;
  const size_t count = first ? sizeof settings - 1 : sizeof state - 1;
  memcpy(to, "IMPROV\x01\x03", 8);
  to[8] = (uint8_t)count;
  memcpy(to + 9, first ? settings : state, count);
  to[9 + count] = 0;
  for (size_t i = 0; i < 9 + count; i++) to[9 + count] = (uint8_t)(to[9 + count] + to[i]);
  return (int)(count + 10);
}
/* The second half of a request over USB arrives after noise on the UART. */
static uint8_t request[64];
static int request_bytes, request_at, noise_turn = -1;
int uart_read_bytes(uart_port_t port, void *bytes, uint32_t room, uint32_t ticks) {
  if (sim.part == NEW_OVER_USB_NOISE && request_bytes > request_at && noise_turn != out->turns) {
    noise_turn = out->turns;
    memcpy(bytes, "IMP\xff", 4);
    return 4;
  }
  return over_usb() ? 0 : next_request(bytes);
}
esp_err_t usb_serial_jtag_driver_install(usb_serial_jtag_driver_config_t *config) {
  return sim.part == CONSOLE || config->tx_buffer_size < AIOT_IMPROV_PACKET_BYTES + 2 || config->rx_buffer_size <= 64 ? -1 : ESP_OK;
}
static int usb_turn = -1;
int usb_serial_jtag_read_bytes(void *bytes, uint32_t room, uint32_t ticks) {
  if (!over_usb() || usb_turn == out->turns) return 0;
  if (request_at == request_bytes) {
    request_bytes = next_request(request);
    request_at = 0;
  }
  usb_turn = out->turns;
  const int left = request_bytes - request_at, count = left > 9 ? 9 : left;
  memcpy(bytes, request + request_at, (size_t)count);
  request_at += count;
  return count;
}
static void say(const void *data, bool usb) {
  const uint8_t *from = data;
  if (usb != over_usb()) out->said_bytes = sizeof out->said;
  if (out->said_bytes + 4 < sizeof out->said && from[8] < 3) out->said_bytes += (size_t)snprintf(out->said + out->said_bytes, 4, "%c%u ", from[8] == 1 ? 's' : 'e', from[10]);
}
/* Keeps the type and the value of each state and error that the board reports. A reply on the wrong port ends the record. */
int uart_write_bytes(uart_port_t port, const void *data, size_t bytes) {
  say(data, false);
  return (int)bytes;
}
int usb_serial_jtag_write_bytes(const void *data, size_t bytes, uint32_t ticks) {
  say(data, true);
  return (int)bytes;
}
esp_err_t esp_wifi_sta_get_ap_info(wifi_ap_record_t *record) {
  record->rssi = -61;
  return ESP_OK;
}
esp_err_t esp_wifi_scan_start(const wifi_scan_config_t *config, bool block) {
  return -1;
}
esp_err_t esp_wifi_scan_get_ap_record(wifi_ap_record_t *record) {
  return -1;
}
esp_err_t esp_wifi_clear_ap_list(void) {
  return ESP_OK;
}
const aiot_flash *aiot_esp32_models(void) {
  return sim.part == MODELS ? NULL : &partition;
}
const aiot_flash *aiot_esp32_programs(void) {
  return sim.part == PROGRAMS ? NULL : &partition;
}
const aiot_flash *aiot_esp32_configs(void) {
  return sim.part == CONFIGS ? NULL : &partition;
}
const aiot_flash *aiot_esp32_trust(void) {
  return sim.part == TRUST ? NULL : &partition;
}
const aiot_mqtt *aiot_esp32_mqtt_open(const aiot_esp32_identity *identity, const char *will_topic, const void *will, size_t will_bytes) {
  return sim.part == MQTT ? NULL : &mqtt;
}
void aiot_esp32_mqtt_keep_alive(int seconds) {}
const aiot_http *aiot_esp32_http_open(const aiot_esp32_identity *identity) {
  return sim.part == HTTP ? NULL : &http;
}
const aiot_signer *aiot_esp32_signer(const char *key, const char *certificate) {
  return NULL;
}
const aiot_trial *aiot_esp32_trial(aiot_device *device) {
  return NULL;
}
void aiot_esp32_confirm(const aiot_device *device) {}
const aiot_esp32_source *aiot_esp32_source_chosen(void) {
  static const char *const fields[] = {"x"};
  static const aiot_esp32_source source = {10, 1, fields, NULL, NULL};
  return &source;
}
bool aiot_esp32_sampler_start(const aiot_esp32_source *source) {
  return sim.part != SAMPLER;
}
bool aiot_esp32_sampler_take(double *values, bool *gap) {
  *values = 1;
  *gap = false;
  return out->fields[0] == 0;
}
uint32_t aiot_esp32_sampler_lost(void) {
  return 0;
}
bool aiot_esp32_adc_fastest(const int *pins, aiot_esp32_rate *rate) {
  out->trials++;
  return sim.part != CONVERTER;
}
bool aiot_esp32_servo_start(int pin, uint64_t now_ms) {
  return sim.part != SERVO;
}
void aiot_esp32_servo_rule(const aiot_rule_spec *rule, uint64_t now_ms) {}
void aiot_esp32_servo_answer(const char *json, size_t bytes, uint64_t now_ms) {}
void aiot_esp32_servo_step(uint64_t now_ms) {}
void aiot_esp32_guide_run(void *context) {}
aiot_code aiot_device_open(aiot_device *device, const aiot_device_setup *setup) {
  out->secure_version = setup->secure_version;
  device->setup = *setup;
  out->memory_bytes = setup->memory == NULL ? 0 : setup->bytes;
  return sim.part == DEVICE ? AIOT_MEMORY_SHORT : AIOT_OK;
}
void aiot_device_close(aiot_device *device, uint32_t wait_ms) {}
void aiot_device_log(aiot_device *device, const char *level, const char *text, aiot_code code) {
}
aiot_code aiot_device_take(aiot_device *device, const aiot_take *take) {
  snprintf(out->fields, sizeof out->fields, "%s", take->field[0]);
  return AIOT_OK;
}
void aiot_device_take_end(aiot_device *device) {}
bool aiot_device_ready(const aiot_device *device) {
  return true;
}
void aiot_device_sample(aiot_device *device, const double *values) {}
bool aiot_device_step(aiot_device *device, uint32_t wait_ms) {
  device->connection = sim.address ? 1 : 0;
  if (sim.address) device->reported_at_ms = sim.now_ms;
  turn();
  return true;
}
bool aiot_update_settled(const aiot_update *update) {
  return true;
}
bool aiot_store_open_flash(aiot_store *store, const aiot_flash *flash, const aiot_crypto *crypto, uint8_t *scratch) {
  return sim.part != RECORDS;
}
bool aiot_store_persist(aiot_store *store) {
  return true;
}
size_t aiot_presence_message(aiot_message message, bool online, int64_t t) {
  return 2;
}
const char *aiot_code_name(aiot_code code) {
  return "code";
}
esp_err_t esp_netif_init(void) {
  if (sim.part == NETIF) return -1;
  sim.stack = out->stack = true;
  return ESP_OK;
}
esp_err_t esp_event_loop_create_default(void) {
  return sim.part == EVENT_LOOP ? -1 : ESP_OK;
}
esp_netif_t *esp_netif_create_default_wifi_sta(void) {
  need_stack();
  return sim.part == INTERFACE ? NULL : (esp_netif_t *)(void *)&sim;
}
esp_err_t esp_netif_set_hostname(esp_netif_t *interface, const char *name) {
  snprintf(out->hostname, sizeof out->hostname, "%s", name);
  return ESP_OK;
}
/* The DHCP client runs by default. Addresses can be set only while it does not. */
esp_err_t esp_netif_dhcpc_start(esp_netif_t *interface) {
  if (!out->dhcp_stopped) return -1;
  out->dhcp_stopped = false;
  out->dhcp_starts++;
  return ESP_OK;
}
esp_err_t esp_netif_dhcpc_stop(esp_netif_t *interface) {
  if (out->dhcp_stopped) return -1;
  out->dhcp_stopped = true;
  return ESP_OK;
}
esp_err_t esp_netif_set_ip_info(esp_netif_t *interface, const esp_netif_ip_info_t *addresses) {
  if (!out->dhcp_stopped || sim.part == FIXED_REFUSED) return -1;
  out->addresses = *addresses;
  return ESP_OK;
}
esp_err_t esp_netif_set_dns_info(esp_netif_t *interface, esp_netif_dns_type_t type, esp_netif_dns_info_t *dns) {
  out->dns = *dns;
  return type == ESP_NETIF_DNS_MAIN && dns->ip.type == ESP_IPADDR_TYPE_V4 ? ESP_OK : -1;
}
esp_err_t esp_event_handler_instance_register(esp_event_base_t base, int32_t id, esp_event_handler_t handler, void *context, esp_event_handler_instance_t *instance) {
  sim.handler = handler;
  return sim.part == HANDLER ? -1 : ESP_OK;
}
esp_err_t esp_wifi_init(const wifi_init_config_t *config) {
  need_stack();
  out->nvs = config->nvs_enable;
  return (sim.part == RADIO || sim.part == ENROLLS_NOWHERE) ? -1 : ESP_OK;
}
esp_err_t esp_wifi_set_storage(wifi_storage_t storage) {
  return ESP_OK;
}
esp_err_t esp_wifi_set_mode(wifi_mode_t mode) {
  return ESP_OK;
}
esp_err_t esp_wifi_set_config(wifi_interface_t interface, wifi_config_t *config) {
  out->config = config->sta;
  return ESP_OK;
}
esp_err_t esp_wifi_start(void) {
  return sim.part == RADIO_START ? -1 : ESP_OK;
}
esp_err_t esp_wifi_stop(void) {
  return ESP_OK;
}
static void note_login(const char *call, const unsigned char *text, int bytes) {
  const size_t used = strlen(out->login);
  snprintf(out->login + used, sizeof out->login - used, "%s %.*s;", call, bytes, (const char *)text);
}
static esp_err_t note_number(const char *call, int number) {
  const size_t used = strlen(out->login);
  snprintf(out->login + used, sizeof out->login - used, "%s %d;", call, number);
  return ESP_OK;
}
/* A login in NVS, as `device provision --wifi-eap` writes it. */
static const char *stored(const char *key) {
  if (strcmp(key, "eap") == 0) return sim.part == TLS ? "tls" : sim.part == TTLS ? "ttls" : sim.part == TTLS_PAP ? "ttls-pap" : "peap";
  if (strcmp(key, "eap_identity") == 0) return "anonymous";
  if (strcmp(key, "eap_ca") == 0 && sim.part != NO_CA) return "CA";
  if (strcmp(key, sim.part == TLS ? "eap_certificate" : "eap_username") == 0) return sim.part == TLS ? "CERT" : "pump";
  if (strcmp(key, sim.part == TLS ? "eap_key" : "eap_password") == 0) return sim.part == TLS ? "KEY" : "secret";
  return NULL;
}
esp_err_t nvs_get_str(nvs_handle_t handle, const char *key, char *text, size_t *bytes) {
  const char *value = stored(key);
  if (value == NULL) return ESP_ERR_NVS_NOT_FOUND;
  if (text != NULL) snprintf(text, *bytes, "%s", value);
  *bytes = strlen(value) + 1;
  return ESP_OK;
}
esp_err_t esp_wifi_sta_enterprise_enable(void) { return note_number("on", 1); }
esp_err_t esp_wifi_sta_enterprise_disable(void) { return note_number("off", 1); }
esp_err_t esp_eap_client_set_identity(const unsigned char *identity, int bytes) { return note_login("identity", identity, bytes), ESP_OK; }
esp_err_t esp_eap_client_set_username(const unsigned char *username, int bytes) { return note_login("user", username, bytes), ESP_OK; }
esp_err_t esp_eap_client_set_password(const unsigned char *password, int bytes) { return note_login("password", password, bytes), ESP_OK; }
esp_err_t esp_eap_client_set_ca_cert(const unsigned char *ca, int bytes) { return note_login("ca", ca, bytes), ca[bytes - 1] == '\0' ? ESP_OK : -1; }
esp_err_t esp_eap_client_set_certificate_and_key(const unsigned char *certificate, int bytes, const unsigned char *key, int key_bytes, const unsigned char *password,
                                                 int password_bytes) {
  note_login("certificate", certificate, bytes);
  note_login("key", key, key_bytes);
  return certificate[bytes - 1] == '\0' && key[key_bytes - 1] == '\0' && password == NULL && password_bytes == 0 ? ESP_OK : -1;
}
esp_err_t esp_eap_client_set_disable_time_check(bool disable) { return note_number("undated", disable); }
esp_err_t esp_eap_client_set_ttls_phase2_method(esp_eap_ttls_phase2_types type) { return note_number("phase2", (int)type); }
esp_err_t esp_eap_client_set_eap_methods(esp_eap_method_t methods) { return note_number("methods", (int)methods); }
esp_err_t esp_wifi_connect(void) {
  if (out->connects == 0) out->first_mode = out->config.threshold.authmode;
  out->connects++;
  sim.connected_ms = sim.now_ms;
  return sim.part == CONNECT ? -1 : ESP_OK;
}
esp_err_t esp_wifi_disconnect(void) {
  out->disconnects++;
  happen(WIFI_EVENT, WIFI_EVENT_STA_DISCONNECTED);
  return ESP_OK;
}
esp_err_t esp_netif_sntp_init(const esp_sntp_config_t *config) {
  need_stack();
  out->sntp = *config;
  for (size_t i = 0; i < config->num_of_servers; i++) snprintf(out->server[i], sizeof out->server[i], "%s", config->servers[i]);
  if (sim.had_address) out->late = true;
  return sim.part == SNTP ? -1 : ESP_OK;
}
esp_err_t esp_netif_sntp_start(void) {
  need_stack();
  if (!sim.address) out->early = true;
  out->starts++;
  return ESP_OK;
}
uint32_t esp_efuse_read_secure_version(void) {
  return SECURE_VERSION;
}
uint32_t esp_random(void) {
  return 0;
}
int64_t esp_timer_get_time(void) {
  return (int64_t)sim.now_ms * 1000;
}
esp_reset_reason_t esp_reset_reason(void) {
  if (sim.part == CRASHED) return ESP_RST_PANIC;
  if (sim.part == CRASHED_LONG_AGO) return ESP_RST_INT_WDT;
  return sim.part == SLEPT || sim.part == CRASHED_ASLEEP ? ESP_RST_DEEPSLEEP : ESP_RST_POWERON;
}
esp_err_t esp_task_wdt_init(const esp_task_wdt_config_t *config) {
  return ESP_OK;
}
esp_err_t esp_task_wdt_reconfigure(const esp_task_wdt_config_t *config) {
  return ESP_OK;
}
esp_err_t esp_task_wdt_add(TaskHandle_t task) {
  return ESP_OK;
}
esp_err_t esp_task_wdt_reset(void) {
  return ESP_OK;
}
esp_err_t esp_sleep_enable_timer_wakeup(uint64_t microseconds) {
  return ESP_OK;
}
const aiot_settings_store aiot_esp32_settings_store;
/* The NVS of crashes: a number, and whether its report has arrived. */
static struct {
  bool opened, has_number;
  uint32_t number;
  uint8_t arrived;
} crash_nvs;
esp_err_t nvs_open(const char *name, nvs_open_mode_t mode, nvs_handle_t *handle) {
  if (strcmp(name, "wifi") == 0) return has_login() && mode == NVS_READONLY ? ESP_OK : ESP_ERR_NVS_NOT_FOUND;
  if (sim.part == CRASHED_TOLD && !crash_nvs.opened) {
    crash_nvs.has_number = true;
    crash_nvs.arrived = 1;
  }
  /* The dump was erased together with the program, but not the NVS. */
  if (sim.part == CRASH_FLASHED && !crash_nvs.opened) crash_nvs.has_number = true;
  crash_nvs.opened = true;
  *handle = 1;
  return strcmp(name, "aiot_crash") == 0 && (mode == NVS_READWRITE || crash_nvs.has_number) ? ESP_OK : ESP_ERR_NVS_NOT_FOUND;
}
esp_err_t nvs_get_u32(nvs_handle_t handle, const char *key, uint32_t *number) {
  *number = crash_nvs.number;
  return crash_nvs.has_number ? ESP_OK : ESP_ERR_NVS_NOT_FOUND;
}
esp_err_t nvs_set_u32(nvs_handle_t handle, const char *key, uint32_t number) {
  crash_nvs.number = number;
  crash_nvs.has_number = true;
  return ESP_OK;
}
esp_err_t nvs_get_u8(nvs_handle_t handle, const char *key, uint8_t *arrived) {
  *arrived = crash_nvs.arrived;
  return ESP_OK;
}
esp_err_t nvs_set_u8(nvs_handle_t handle, const char *key, uint8_t arrived) {
  crash_nvs.arrived = arrived;
  out->crash_arrived = crash_nvs.has_number && arrived == 1;
  return ESP_OK;
}
esp_err_t nvs_erase_all(nvs_handle_t handle) {
  out->crash_forgotten = crash_nvs.has_number;
  crash_nvs.has_number = false;
  crash_nvs.arrived = 0;
  return ESP_OK;
}
esp_err_t nvs_commit(nvs_handle_t handle) {
  return ESP_OK;
}
void nvs_close(nvs_handle_t handle) {
}
int esp_app_get_elf_sha256(char *text, size_t bytes) {
  return snprintf(text, bytes, "%s", sim.part == CRASHED_BEFORE_ROLLBACK ? "fedcba987" : "0123abcde") + 1;
}
static bool has_dump(void) {
  return sim.part == CRASHED || sim.part == CRASHED_LONG_AGO || sim.part == CRASHED_OFFLINE || sim.part == CRASHED_TOLD ||
         sim.part == CRASHED_BEFORE_ROLLBACK || sim.part == CRASHED_ASLEEP || sim.part == CRASHED_SHORT || sim.part == CRASHED_PUSHED_OUT;
}
esp_err_t esp_core_dump_image_check(void) {
  return has_dump() ? ESP_OK : sim.part == CRASH_CUT ? ESP_ERR_INVALID_CRC : ESP_ERR_INVALID_SIZE;
}
esp_err_t esp_core_dump_image_erase(void) {
  out->erased++;
  return ESP_OK;
}
esp_err_t esp_core_dump_get_panic_reason(char *text, size_t bytes) {
  if (sim.part == CRASHED_BEFORE_ROLLBACK) return ESP_ERR_NVS_NOT_FOUND;
  snprintf(text, bytes, "%s", sim.part == CRASHED_LONG_AGO ? "Interrupt wdt timeout on CPU0" : "Load access fault");
  return ESP_OK;
}
esp_err_t esp_core_dump_get_summary(esp_core_dump_summary_t *summary) {
  memcpy(summary->exc_task, "aiot-http", 10);
  summary->exc_pc = 0x42001234;
  memcpy(summary->app_elf_sha256, "0123abcde", 10);
#if CONFIG_IDF_TARGET_ARCH_XTENSA
  summary->exc_bt_info.bt[0] = 0x42001234;
  summary->exc_bt_info.bt[1] = 0x42005678;
  summary->exc_bt_info.depth = 2;
  summary->ex_info.exc_cause = 28;
  summary->ex_info.exc_a[15] = 7;
#else
  summary->ex_info.ra = 0x42005678;
  summary->ex_info.sp = 0x3fc90000;
  summary->ex_info.mcause = 5;
  summary->ex_info.exc_a[7] = 7;
  summary->exc_bt_info.stackdump[0] = 0xab;
  summary->exc_bt_info.dump_size = 4;
#endif
  return ESP_OK;
}
/* The partition with the dump. One board has none, and another one has a dump that is not in ELF. */
static uint8_t dump_bytes[SIM_DUMP_BYTES];
const esp_partition_t *esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype, const char *label) {
  static const sim_task tasks[] = {{0x3fc91ac0, "aiot-http", 0x42001234, 0x42005678}, {0x3fc90360, "IDLE", 0x4200c012, 0}, {0x3fc9110c, "aiot", 0x40382dae, 0x40386012}};
  static esp_partition_t found;
  if (type != ESP_PARTITION_TYPE_DATA || subtype != ESP_PARTITION_SUBTYPE_DATA_COREDUMP || sim.part == CRASHED_ASLEEP) return NULL;
#if CONFIG_IDF_TARGET_ARCH_XTENSA
  found.size = sim_core_dump(dump_bytes, 24, true, tasks, 3, 0x3fc91ac0);
#else
  found.size = sim_core_dump(dump_bytes, 24, false, tasks, 3, 0x3fc91ac0);
#endif
  if (sim.part == CRASHED_BEFORE_ROLLBACK) dump_bytes[24] = 0;
  return &found;
}
esp_err_t esp_partition_read(const esp_partition_t *from, size_t offset, void *bytes, size_t count) {
  if (offset > from->size || count > from->size - offset) return ESP_ERR_INVALID_SIZE;
  memcpy(bytes, dump_bytes + offset, count);
  return ESP_OK;
}
/* Appends the other tasks, the last log lines, and the reason for the restart. */
static void keep_more(const aiot_crash *crash) {
  char *const text = out->crash;
  const size_t room = sizeof out->crash;
#define APPEND(...) snprintf(text + strlen(text), room - strlen(text), __VA_ARGS__)
  APPEND("|");
  for (size_t i = 0; i < crash->task_count; i++) {
    APPEND("%s", crash->tasks[i].name);
    for (size_t k = 0; k < crash->tasks[i].depth; k++) APPEND(" %llx", (unsigned long long)crash->tasks[i].calls[k]);
    APPEND(";");
  }
  APPEND("|");
  for (const char *line = aiot_tail_next(crash->log, NULL); line != NULL; line = aiot_tail_next(crash->log, line)) APPEND("%s;", line);
  APPEND("|%s", crash->reset == NULL ? "-" : crash->reset);
}
/* Keeps the report in one line: its texts, the calls, and the first and the last register. */
bool aiot_device_crash(aiot_device *device, const aiot_crash *crash) {
  const aiot_register *last = &crash->registers[crash->register_count - 1];
  out->crashes++;
  snprintf(out->crash, sizeof out->crash, "%s %s|%s|%s %s|%s|%llx %llx|%s=%llx %s=%llx|%zu %x", crash->id, crash->kind, crash->reason,
           crash->version == NULL ? "-" : crash->version, crash->build, crash->task, (unsigned long long)crash->calls[0],
           (unsigned long long)crash->calls[crash->depth - 1], crash->registers[0].name, (unsigned long long)crash->registers[0].value, last->name,
           (unsigned long long)last->value, crash->stack_bytes, crash->stack_bytes == 0 ? 0 : crash->stack[0]);
  keep_more(crash);
  /* The first report does not fit, or newer messages push it out of the queue. */
  if (sim.part == CRASHED_PUSHED_OUT && out->crashes == 1) device->queue.dropped++;
  return sim.part != CRASHED_SHORT || out->crashes > 1;
}
/* The device has messages that wait for the first two seconds after it is connected, and for a second after each report. */
bool aiot_device_idle(const aiot_device *device) {
  static uint64_t connected_ms, reported_ms;
  if (connected_ms == 0) connected_ms = sim.now_ms;
  if (out->crashes == 0) return sim.now_ms >= connected_ms + 2000;
  if (reported_ms == 0) reported_ms = sim.now_ms;
  return sim.now_ms >= reported_ms + 1000;
}
size_t heap_caps_get_free_size(uint32_t kind) {
  return 100000;
}
size_t heap_caps_get_largest_free_block(uint32_t kind) {
  return 50000;
}
size_t heap_caps_get_minimum_free_size(uint32_t kind) {
  return 50000;
}
void vTaskDelay(TickType_t ticks) {
  sim.now_ms += ticks;
}

/*
 * RTC memory at a start. After most crashes, it has the lines before the crash. One board has restarted since, and has logged another line.
 * One was without power, or ran another program, so that its memory has other bytes.
 */
static void begin_memory(void) {
  aiot_tail *lines = aiot_esp32_log_tail();
  if (!has_dump() || lines == NULL) return;
  aiot_tail_add(lines, "info", "reading the sensor");
  aiot_tail_add(lines, "warn", "no answer");
  if (sim.part == CRASHED_BEFORE_ROLLBACK) memset(lines, 0xa5, sizeof *lines);
  if (sim.part == CRASHED_SHORT) {
    aiot_esp32_dump_present();
    aiot_tail_add(lines, "info", "a line after the crash");
  }
}

/* Runs for ten minutes, or until the program restarts. False: the process crashed. */
static bool run(part which) {
  memset(out, 0, sizeof *out);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    sim.part = which;
    begin_memory();
    aiot_esp32_start();
    _exit(1);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/*
 * Expected results. `network`: the board gets an address. If the board cannot work at all, it reports this for a minute before it
 * restarts.
 */
static const struct {
  part part;
  bool restarts, network;
} rows[] = {
    {NOTHING, false, true},      {IDENTITY, true, false},  {WIFI_CREDENTIALS, false, false}, {NETIF, false, false},    {EVENT_LOOP, false, false},
    {INTERFACE, false, false},   {RADIO, false, false},    {HANDLER, false, false},          {RADIO_START, false, false}, {CONNECT, false, false},
    {SNTP, false, true},         {MODELS, true, false},    {PROGRAMS, false, true},          {CONFIGS, false, true},   {TRUST, false, true},
    {RECORDS, true, false},      {MQTT, true, false},      {HTTP, true, false},              {DEVICE, true, false},    {SAMPLER, false, true},
    {SERVO, false, true},        {CONVERTER, false, true}, {SLEPT, false, true},             {NO_ADDRESS, false, false},
    {LOST_ADDRESS, false, true}, {LOST_FOR_GOOD, false, true}, {REFUSED, false, false},
    {CRASHED, false, true},      {CRASHED_LONG_AGO, false, true}, {CRASHED_OFFLINE, false, false}, {CRASH_CUT, false, true},
    {CRASHED_TOLD, false, true}, {CRASHED_BEFORE_ROLLBACK, false, true}, {CRASHED_ASLEEP, false, true},
    {CRASHED_SHORT, false, true}, {CRASHED_PUSHED_OUT, false, true}, {CRASH_FLASHED, false, true},
    {NEW_OVER_USB, false, true}, {NEW_OVER_USB_NOISE, false, true},
    {CONSOLE, false, true},      {NEW_NETWORK, false, true}, {NEW_REFUSED, false, true},       {NEW_BESIDE_OLD, false, true},
    {FIXED, false, true},        {FIXED_REFUSED, false, false}, {NEW_BESIDE_FIXED, false, true},
    {PEAP, false, true},         {TTLS, false, true},       {TTLS_PAP, false, true},         {TLS, false, true},       {NO_CA, false, false},
    {NEW_BESIDE_PEAP, false, true},
    {ENROLLS, true, true},       {ENROLLS_NOT, true, false}, {ENROLLS_LATE, false, true}, {ENROLLS_NOWHERE, true, false},
};

static void test_parts(checks *c) {
  check_equal(c, "parts, all of them", 0, PARTS, sizeof rows / sizeof rows[0]);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const part which = rows[i].part;
    check_at(c, "start", "runs", which, run(which));
    check_at(c, "start", "uses the network stack only while it runs", which, !out->crashed);
    check_at(c, "start", "the network stack runs, even without an access point", which, out->stack == (which != IDENTITY && which != NETIF));
    check_at(c, "start", "restarts only if it cannot work", which, out->restarted == rows[i].restarts && (out->restarted || out->turns == turns_of(which)));
    check_at(c, "start", "no restart within a minute", which, !out->restarted || out->enrolled || out->restarted_ms >= 60000);
    check_at(c, "start", "requests the time once there is an address", which, out->starts == (rows[i].network && which != SNTP ? 1 : 0) && !out->early);
    check_at(c, "start", "sets the time servers before DHCP", which, !out->late);
    check_at(c, "start", "the converter is tried once, and not after sleep", which, out->trials == (rows[i].restarts || which == SLEPT || which == CRASHED_ASLEEP || which >= ENROLLS ? 0 : 1));
  }
}

/* A board with the key of a batch joins the network, enrolls, and restarts. The key stays until a board starts with its identity. */
static void test_enrollment(checks *c) {
  check_at(c, "enrollment", "runs", 0, run(ENROLLS));
  check_at(c, "enrollment", "restarts with its identity", 0, out->enrolled && out->restarted && out->restarted_ms < 20000 && out->forgets == 0);
  check_at(c, "enrollment", "the radio is on before the key is created", 0, out->radio_first && out->memory_bytes > 0);
  check_at(c, "enrollment", "host name and time server", 0, strcmp(out->hostname, "240ac4123456") == 0 && strcmp(out->server[0], "platform.lan") == 0);
  check_at(c, "enrollment", "runs", 1, run(ENROLLS_LATE));
  check_at(c, "enrollment", "waits for as long as it takes", 0, !out->restarted && out->turns == TURNS);
  check_at(c, "enrollment", "runs", 2, run(ENROLLS_NOWHERE));
  check_at(c, "enrollment", "without the radio, no key is created", 0, !out->radio_first && out->memory_bytes == 0);
  check_at(c, "enrollment", "runs", 3, run(NOTHING));
  check_at(c, "enrollment", "a board with an identity deletes the key", 0, out->forgets == 1);
}

static void test_network(checks *c) {
  check_at(c, "network", "runs", 0, run(NOTHING));
  check_equal(c, "secure version of the fuses", 0, SECURE_VERSION, out->secure_version);
  check_equal(c, "memory of the chip, with and without external RAM", 0, AIOT_CHIP_MEMORY_BYTES, (int64_t)out->memory_bytes);
  check_at(c, "samples", "are sent under the project's name of the sensor's field", 0, strcmp(out->fields, "level") == 0);
  check_at(c, "network", "one attempt", 0, out->connects == 1 && out->disconnects == 0);
  check_at(c, "network", "the driver writes nothing into NVS", 0, out->nvs == 0);
  check_at(c, "network", "host name", 0, strcmp(out->hostname, "pump-7") == 0);
  check_at(c, "network", "the strongest access point", 0, out->config.scan_method == WIFI_ALL_CHANNEL_SCAN && out->config.sort_method == WIFI_CONNECT_AP_BY_SIGNAL);
  check_at(c, "network", "no open access point in place of one with a password", 0,
           strcmp((const char *)out->config.password, "correct horse") == 0 && out->config.threshold.authmode == WIFI_AUTH_WPA2_PSK);
  check_at(c, "network", "both WPA3 methods", 0, out->config.sae_pwe_h2e == WPA3_SAE_PWE_BOTH && out->config.pmf_cfg.capable && !out->config.pmf_cfg.required);
  check_at(c, "time", "DHCP's server first", 0, out->sntp.server_from_dhcp && out->sntp.index_of_first_server == 1 && out->sntp.renew_servers_after_new_IP && !out->sntp.start);
  check_at(c, "time", "then the platform's host, then the usual one", 0,
           out->sntp.num_of_servers == 2 && strcmp(out->server[0], "platform.lan") == 0 && strcmp(out->server[1], "pool.ntp.org") == 0);

  check_at(c, "no address", "runs", 0, run(NO_ADDRESS));
  /* An attempt takes thirty seconds. The pause after it doubles, up to a minute. */
  check_at(c, "no address", "disconnects and tries again", (size_t)out->connects, out->disconnects >= 6 && out->disconnects <= 12 && out->connects >= out->disconnects);
  check_equal(c, "no address, delay of the second attempt", 0, 31, (int64_t)(out->connected_at[1] - out->connected_at[0]) / 1000);
  check_equal(c, "no address, delay of the third attempt", 0, 32, (int64_t)(out->connected_at[2] - out->connected_at[1]) / 1000);

  check_at(c, "lost address", "runs", 0, run(LOST_ADDRESS));
  check_at(c, "lost address", "a returning address needs no new attempt", 0, out->connects == 1 && out->disconnects == 0);
  check_at(c, "lost address", "runs", 1, run(LOST_FOR_GOOD));
  check_at(c, "lost address", "a lost address leads to a new attempt", 0, out->connects == 2 && out->disconnects == 1);

  check_at(c, "refused", "runs", 0, run(REFUSED));
  check_at(c, "refused", "growing delays", (size_t)out->connects, out->connects > 10 && out->connects < 20 && out->disconnects == 0);
}

static bool is_address(esp_ip4_addr_t address, const char *bytes) { return memcmp(&address.addr, bytes, 4) == 0; }

static void test_fixed_addresses(checks *c) {
  check_at(c, "addresses", "runs", 0, run(NOTHING));
  check_at(c, "addresses", "by DHCP", 0, !out->dhcp_stopped && out->addresses.ip.addr == 0);

  check_at(c, "fixed addresses", "runs", 0, run(FIXED));
  check_at(c, "fixed addresses", "one attempt, without DHCP", 0, out->connects == 1 && out->dhcp_stopped && out->dhcp_starts == 0);
  check_at(c, "fixed addresses", "address, mask and gateway in network byte order", 0,
           is_address(out->addresses.ip, "\012\0\0\007") && is_address(out->addresses.netmask, "\377\377\374\0") && is_address(out->addresses.gw, "\012\0\0\001"));
  check_at(c, "fixed addresses", "DNS server", 0, is_address(out->dns.ip.u_addr.ip4, "\012\0\0\002"));

  check_at(c, "fixed addresses, refused", "runs", 0, run(FIXED_REFUSED));
  check_at(c, "fixed addresses, refused", "the board does not join with other addresses", 0, out->connects == 0);

  check_at(c, "new network beside fixed addresses", "runs", 0, run(NEW_BESIDE_FIXED));
  check_at(c, "new network beside fixed addresses", "gets its address by DHCP", 0,
           strcmp((const char *)out->config.ssid, "new") == 0 && !out->dhcp_stopped && out->dhcp_starts == 1);
}

/* The login of an enterprise network. Numbers are those of ESP-IDF: TLS 1, TTLS 2, PEAP 4; MSCHAPv2 1, PAP 3. */
static void test_login(checks *c) {
  static const struct {
    part which;
    const char *login;
  } logins[] = {
      {PEAP, "ca CA;identity anonymous;methods 4;user pump;password secret;undated 0;on 1;"},
      {TTLS, "ca CA;identity anonymous;methods 2;phase2 1;user pump;password secret;undated 0;on 1;"},
      {TTLS_PAP, "ca CA;identity anonymous;methods 2;phase2 3;user pump;password secret;undated 0;on 1;"},
      {TLS, "ca CA;identity anonymous;methods 1;certificate CERT;key KEY;undated 0;on 1;"},
  };
  for (size_t i = 0; i < sizeof logins / sizeof logins[0]; i++) {
    check_at(c, "login", "runs", i, run(logins[i].which));
    check_at(c, "login", out->login, i, strcmp(out->login, logins[i].login) == 0);
    check_at(c, "login", "joins only an enterprise network", i, out->connects == 1 && out->first_mode == WIFI_AUTH_WPA2_ENTERPRISE && out->config.password[0] == 0);
  }
  check_at(c, "login without a CA", "runs", 0, run(NO_CA));
  check_at(c, "login without a CA", "sends its password to no access point", 0, out->connects == 0 && out->login[0] == '\0');

  check_at(c, "new network beside an enterprise network", "runs", 0, run(NEW_BESIDE_PEAP));
  check_at(c, "new network beside an enterprise network", out->login, 0, strstr(out->login, "on 1;off 1;") != NULL);
  check_at(c, "new network beside an enterprise network", "both are stored", 0, out->kept == 1 && out->connects == 2);
  aiot_networks networks;
  aiot_networks_open(&networks, out->networks, 2 + 3 + 3 + 13 + 3 + 4, NULL);
  check_at(c, "new network beside an enterprise network", "only the former one has a login", 0,
           networks.count == 2 && !networks.known[0].enterprise && networks.known[1].enterprise && strcmp(networks.known[1].ssid, "hall") == 0);
}

/* Bytes arrive in pieces over USB, and noise on the UART neither damages a request nor receives its replies. */
static void test_usb(checks *c) {
  static const part parts[] = {NEW_OVER_USB, NEW_OVER_USB_NOISE};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    aiot_networks networks;
    check_at(c, "new network over USB", "runs", i, run(parts[i]));
    check_at(c, "new network over USB", out->said, i, strcmp(out->said, "e0 s3 s4 e0 s4 ") == 0);
    aiot_networks_open(&networks, out->networks, 2 + 3 + 3 + 13, NULL);
    check_at(c, "new network over USB", "is stored", i, networks.count == 1 && strcmp(networks.known[0].ssid, "new") == 0);
  }
}

/* A network that arrives on the console is stored only once the board has joined it; otherwise, the former one is in use again. */
static void test_new_network(checks *c) {
  aiot_networks networks;
  check_at(c, "new network", "runs", 0, run(NEW_NETWORK));
  check_at(c, "new network", out->said, 0, strcmp(out->said, "e0 s3 s4 e0 s4 ") == 0);
  aiot_networks_open(&networks, out->networks, sizeof out->networks, NULL);
  check_at(c, "new network", "is stored without padding", 0, out->kept == 1 && networks.count == 0);
  aiot_networks_open(&networks, out->networks, 2 + 3 + 3 + 13, NULL);
  check_at(c, "new network", "is stored", 0, networks.count == 1 && strcmp(networks.known[0].ssid, "new") == 0);

  check_at(c, "new network beside another", "runs", 0, run(NEW_BESIDE_OLD));
  check_at(c, "new network beside another", out->said, 0, strcmp(out->said, "e0 s3 s4 e0 s4 ") == 0 && out->kept == 1);
  check_at(c, "new network beside another", "one disconnection, two attempts", (size_t)out->connects, out->disconnects == 1 && out->connects == 2);
  aiot_networks_open(&networks, out->networks, 2 + 3 + 3 + 13 + 3 + 4 + 13, NULL);
  check_at(c, "new network beside another", "both are stored, the new one first", 0,
           networks.count == 2 && strcmp(networks.known[0].ssid, "new") == 0 && strcmp(networks.known[1].ssid, "hall") == 0);

  check_at(c, "refused network", "runs", 0, run(NEW_REFUSED));
  check_at(c, "refused network", out->said, 0, strcmp(out->said, "e0 s3 e3 s2 e0 s4 ") == 0);
  check_at(c, "refused network", "three attempts between two with the former network", (size_t)out->connects, out->connects == 5);
  check_at(c, "refused network", "the former network is in use, and nothing is stored", 0, strcmp((const char *)out->config.ssid, "hall") == 0 && out->kept == 0);
}

/*
 * A crash is reported once the board is connected, and once only, even if the board restarts. In a crash loop, the first dump is kept.
 * It is deleted only after the board has worked for an hour, or has slept since, and was able to report it.
 */
static void test_crashes(checks *c) {
#define TASKS "IDLE 4200c012;aiot 40382dae 40386012;|"
#define LINES "info: reading the sensor;warn: no answer;|"
#if CONFIG_IDF_TARGET_ARCH_XTENSA
  static const char machine[] = "42001234 42005678|pc=42001234 a15=7|0 0|";
#else
  static const char machine[] = "42001234 42005678|pc=42001234 a7=7|4 ab|";
#endif
  static const struct {
    part part;
    const char *told;
    int erased;
    int reports;
    const char *more;
  } dumps[] = {
      {NOTHING, NULL, 0, 0, NULL},
      {CRASHED, "exception|Load access fault|" AIOT_FIRMWARE_VERSION " 0123abcde|aiot-http|", 0, 1, TASKS LINES "panic"},
      {CRASHED_LONG_AGO, "watchdog|Interrupt wdt timeout on CPU0|" AIOT_FIRMWARE_VERSION " 0123abcde|aiot-http|", 1, 1, TASKS LINES "watchdog"},
      {CRASHED_OFFLINE, NULL, 0, 0, NULL},
      {CRASH_CUT, NULL, 1, 0, NULL},
      {CRASHED_TOLD, NULL, 0, 0, NULL},
      {CRASHED_BEFORE_ROLLBACK, "exception|the program crashed|- 0123abcde|aiot-http|", 0, 1, "||-"},
      {CRASHED_ASLEEP, "exception|Load access fault|" AIOT_FIRMWARE_VERSION " 0123abcde|aiot-http|", 1, 1, "|" LINES "software"},
      {CRASHED_SHORT, "exception|Load access fault|" AIOT_FIRMWARE_VERSION " 0123abcde|aiot-http|", 0, 2, TASKS LINES "power-on"},
      {CRASHED_PUSHED_OUT, "exception|Load access fault|" AIOT_FIRMWARE_VERSION " 0123abcde|aiot-http|", 0, 2, TASKS LINES "power-on"},
      {CRASH_FLASHED, NULL, 0, 0, NULL},
  };
#undef TASKS
#undef LINES
  for (size_t i = 0; i < sizeof dumps / sizeof dumps[0]; i++) {
    char expected[600] = "";
    check_at(c, "crash", "runs", i, run(dumps[i].part));
    check_equal(c, "crash, deleted dumps", i, dumps[i].erased, out->erased);
    check_equal(c, "crash, reports", i, dumps[i].reports, out->crashes);
    check_at(c, "crash", "a number without a dump is forgotten", i, out->crash_forgotten == (dumps[i].part == CRASH_FLASHED || (dumps[i].reports > 0 && dumps[i].erased > 0)));
    if (dumps[i].told == NULL) continue;
    snprintf(expected, sizeof expected, "%s%s%s", dumps[i].told, machine, dumps[i].more);
    const char *after_id = strchr(out->crash, ' ');
    check_at(c, "crash", out->crash, i, strncmp(out->crash, "dump-", 5) == 0 && after_id != NULL && strcmp(after_id + 1, expected) == 0);
    check_at(c, "crash", "is noted as reported", i, out->crash_arrived);
  }
}

int main(void) {
  checks c = {0, 0};
  out = mmap(NULL, sizeof *out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (!check_at(&c, "test", "memory", 0, out != MAP_FAILED)) return checks_end(&c);
  test_parts(&c);
  test_enrollment(&c);
  test_network(&c);
  test_fixed_addresses(&c);
  test_login(&c);
  test_new_network(&c);
  test_usb(&c);
  test_crashes(&c);
  return checks_end(&c);
}
