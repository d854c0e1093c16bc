/*
 * Improv on UART 0 and on the chip's own USB port, between the lines of the log. Replies go to the port on which the request arrived. If a
 * log line splits a reply, the client asks again.
 */
#include "settings.h"

#include "driver/uart.h"
#include "esp32.h"
#include "esp_log.h"
#include "freertos/FreeRTOS.h"
#include "sdkconfig.h"
#include "soc/soc_caps.h"
#if SOC_USB_SERIAL_JTAG_SUPPORTED
#include "driver/usb_serial_jtag.h"
#endif

/* USB_SEND_BYTES: the longest reply, with its line feeds. */
enum { RECEIVE_BYTES = 256, PIECE = 64, USB_RECEIVE_BYTES = 128, USB_SEND_BYTES = AIOT_IMPROV_PACKET_BYTES + 2, USB_SEND_MS = 20 };

#if AIOT_NETWORK == AIOT_NETWORK_WIFI

typedef enum { UART, USB, PORTS } console_port;

static const char tag[] = "aiot";
static aiot_improv improv;
static bool started[PORTS];
/* The port that receives replies, and whether it has received one since the last read. */
static console_port current;
static bool answered;

static void send_bytes(void *context, const void *bytes, size_t count) {
  (void)context;
  answered = true;
#if SOC_USB_SERIAL_JTAG_SUPPORTED
  /* A connected computer accepts 64 bytes per millisecond. */
  if (current == USB) usb_serial_jtag_write_bytes(bytes, count, pdMS_TO_TICKS(USB_SEND_MS));
#endif
  if (current == UART) uart_write_bytes(UART_NUM_0, bytes, count);
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
  started[UART] = uart_driver_install(UART_NUM_0, RECEIVE_BYTES, 0, 0, NULL, 0) == ESP_OK;
#if SOC_USB_SERIAL_JTAG_SUPPORTED
  usb_serial_jtag_driver_config_t usb = {.tx_buffer_size = USB_SEND_BYTES, .rx_buffer_size = USB_RECEIVE_BYTES};
  started[USB] = usb_serial_jtag_driver_install(&usb) == ESP_OK;
#endif
  if (!started[UART] && !started[USB]) ESP_LOGW(tag, "the console cannot receive Wi-Fi settings");
  aiot_improv_open(&improv, &port, aiot_esp32_wifi_networks(), &about);
}

static int read_bytes(console_port from, uint8_t *bytes) {
  if (!started[from]) return 0;
#if SOC_USB_SERIAL_JTAG_SUPPORTED
  if (from == USB) return usb_serial_jtag_read_bytes(bytes, PIECE, 0);
#endif
  return uart_read_bytes(UART_NUM_0, bytes, PIECE, 0);
}

/* Bytes from the other port do not interrupt a packet. They change the port for replies only if they contain a request. */
static void receive(console_port from, const uint8_t *bytes, size_t count, uint64_t now_ms) {
  const console_port before = current;
  if (from != before && improv.count > 0 && now_ms - improv.heard_ms < AIOT_IMPROV_QUIET_MS) return;
  current = from;
  answered = false;
  aiot_improv_receive(&improv, bytes, count, now_ms);
  if (!answered && improv.count == 0) current = before;
}

void aiot_esp32_console_step(uint64_t now_ms) {
  uint8_t bytes[PIECE];
  for (console_port from = UART; from < PORTS; from++) {
    for (int got = read_bytes(from, bytes); got > 0; got = read_bytes(from, bytes)) receive(from, bytes, (size_t)got, now_ms);
  }
  aiot_improv_step(&improv, now_ms);
}

#else
/* A board on Ethernet needs no settings. */
void aiot_esp32_console_start(const aiot_esp32_identity *identity) { (void)identity; }
void aiot_esp32_console_step(uint64_t now_ms) { (void)now_ms; }
#endif
