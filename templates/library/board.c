/* The example's board is this machine: `example FOLDER`. FOLDER contains the identity that `aiot device provision NAME --out FOLDER` wrote. */
#include "board.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "crypto_openssl.h"
#include "flash_file.h"
#include "http_openssl.h"
#include "identity.h"
#include "mqtt_mosquitto.h"

/* Two slots for models, two sectors for the record, and the sectors for configurations and keys. */
enum { SECTOR = 4096, FLASH_BYTES = 2 * SECTOR + (2 << 20), CONFIG_BYTES = 4 * SECTOR, TRUST_BYTES = 2 * SECTOR, PERIOD_MS = 100 };

static const char *folder;
static aiot_identity identity;
static aiot_flash_file models, configs, trust;
static aiot_mqtt_mosquitto mqtt;
static aiot_http_openssl http;
static uint8_t memory[1 << 20];
static volatile sig_atomic_t stopped;

static void on_signal(int number) {
  (void)number;
  stopped = 1;
}

static bool open_flash(aiot_flash_file *flash, const char *name, uint32_t bytes) {
  char path[600];
  aiot_identity_path(&identity, name, path, sizeof path);
  return aiot_flash_file_open(flash, path, bytes, false);
}

bool board_open(aiot_device_setup *setup) {
  static char ca[600], certificate[600], key[600], topic[AIOT_TOPIC_BYTES], will[96];
  char problem[700];
  if (!aiot_identity_read(&identity, folder, &aiot_crypto_openssl, problem, sizeof problem)) {
    fprintf(stderr, "example: %s\n", problem);
    return false;
  }
  aiot_identity_path(&identity, "ca.crt", ca, sizeof ca);
  aiot_identity_path(&identity, "device.crt", certificate, sizeof certificate);
  aiot_identity_path(&identity, "device.key", key, sizeof key);
  /* The broker publishes this message when the connection is lost. */
  snprintf(topic, sizeof topic, "aiot/v1/%s/presence", identity.name);
  const aiot_message message = {will, sizeof will, AIOT_ENCODING_JSON};
  const aiot_mqtt_place broker = {
      .url = identity.mqtts,
      .client_id = identity.name,
      .keep_alive_s = 30,
      .ca = ca,
      .certificate = certificate,
      .key = key,
      .will_topic = topic,
      .will = will,
      .will_bytes = aiot_presence_message(message, false, aiot_host_clock.now_ms(NULL)),
  };
  const aiot_http_place platform = {identity.http, ca, certificate, key};
  if (!aiot_mqtt_mosquitto_open(&mqtt, &broker) || !aiot_http_openssl_open(&http, &platform)) return false;
  if (!open_flash(&models, "flash.bin", FLASH_BYTES) || !open_flash(&configs, "config.bin", CONFIG_BYTES)) return false;
  if (!open_flash(&trust, "trust.bin", TRUST_BYTES)) return false;
  setup->name = identity.name;
  setup->id = identity.id;
  setup->type = identity.type;
  setup->clock = &aiot_host_clock;
  setup->mqtt = &mqtt.port;
  setup->http = &http.port;
  setup->crypto = &aiot_crypto_openssl;
  setup->trust = identity.has_trust ? &identity.trust : NULL;
  setup->trust_flash = &trust.flash;
  setup->flash[AIOT_KIND_MODEL] = &models.flash;
  setup->flash[AIOT_KIND_CONFIG] = &configs.flash;
  setup->memory = memory;
  setup->bytes = sizeof memory;
  return true;
}

bool board_sample(double *values) {
  static uint64_t due;
  const uint64_t now = aiot_host_clock.uptime_ms(NULL);
  if (now < due) return false;
  due = (due == 0 ? now : due) + PERIOD_MS;
  values[0] = 20.0 + (double)(now / 1000 % 10);
  return true;
}

void board_event(void *context, const char *event, const char *member, const char *json, size_t bytes) {
  (void)context;
  printf("%s %s%s%.*s\n", event, member == NULL ? "" : member, member == NULL ? "" : " ", (int)bytes, json);
  fflush(stdout);
}

int main(int count, char **arguments) {
  if (count != 2) {
    fputs("usage: example FOLDER\n", stderr);
    return 2;
  }
  folder = arguments[1];
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  if (!device_begin()) {
    fputs("example: the device cannot be opened\n", stderr);
    return 1;
  }
  while (!stopped && device_step()) {
  }
  aiot_mqtt_mosquitto_close(&mqtt);
  return 0;
}
