/* Improv on the console's UART, between the lines of the log. If a log line splits a reply, the client asks again. */
#include "settings.h"

#include "driver/uart.h"
#include "esp32.h"
#include "esp_log.h"
#include "sdkconfig.h"

enum { RECEIVE_BYTES = 256, PIECE = 64 };

#if AIOT_NETWORK == AIOT_NETWORK_WIFI

static const char tag[] = "aiot";
static aiot_improv improv;
static bool started;

static void send_bytes(void *context, const void *bytes, size_t count) {
  (void)context;
  uart_write_bytes(UART_NUM_0, bytes, count);
}

static bool scan(void *context) {
  (void)context;
  return aiot_esp32_wifi_scan();
}

static aiot_scan_state scanned(void *context, aiot_seen_network *network) {
  (void)context;
  return aiot_esp32_wifi_scanned(network);
}

static void leave(void *context) {
  (void)context;
  aiot_esp32_wifi_leave();
}

void aiot_esp32_console_start(const aiot_esp32_identity *identity) {
  static const aiot_improv_port port = {NULL, send_bytes, scan, scanned, leave};
  const aiot_improv_about about = {AIOT_FIRMWARE_NAME, AIOT_FIRMWARE_VERSION, CONFIG_IDF_TARGET, identity->name, identity->http};
  /* The driver receives in an interrupt, because the chip's own buffer holds only 128 bytes. */
  started = uart_driver_install(UART_NUM_0, RECEIVE_BYTES, 0, 0, NULL, 0) == ESP_OK;
  if (!started) ESP_LOGW(tag, "the console cannot receive Wi-Fi settings");
  aiot_improv_open(&improv, &port, aiot_esp32_wifi_networks(), &about);
}

void aiot_esp32_console_step(uint64_t now_ms) {
  uint8_t bytes[PIECE];
  if (!started) return;
  for (int got = uart_read_bytes(UART_NUM_0, bytes, sizeof bytes, 0); got > 0; got = uart_read_bytes(UART_NUM_0, bytes, sizeof bytes, 0)) {
    aiot_improv_receive(&improv, bytes, (size_t)got, now_ms);
  }
  aiot_improv_step(&improv, now_ms);
}

#else
/* A board on Ethernet needs no settings. */
void aiot_esp32_console_start(const aiot_esp32_identity *identity) { (void)identity; }
void aiot_esp32_console_step(uint64_t now_ms) { (void)now_ms; }
#endif
