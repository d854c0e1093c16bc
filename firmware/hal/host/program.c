/* The native virtual device: the core with ports for a Linux program. */
#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "aiot/device.h"
#include "aiot/own_settings.h"
#include "aiot/own_commands.h"
#include "clock.h"
#include "crash.h"
#include "crypto_openssl.h"
#include "feed.h"
#include "flash_file.h"
#include "http_openssl.h"
#include "identity.h"
#include "mqtt_mosquitto.h"
#include "self_test.h"
#include "settings_file.h"
#include "vitals.h"

/* Settings of a project's own firmware, generated from its aiot.yaml. */
#if defined(__has_include)
#if __has_include("aiot_config.h")
#include "aiot_config.h"
#endif
#endif
#ifndef AIOT_FIRMWARE_NAME
#define AIOT_FIRMWARE_NAME "aiot-device"
#endif
#ifndef AIOT_FIRMWARE_VERSION
#define AIOT_FIRMWARE_VERSION "0.0.0"
#endif

#define MEMORY_BYTES (8u * 1024u * 1024u)
#define KEEP_ALIVE_S 30

typedef struct {
  aiot_identity identity;
  aiot_flash_file models;
  aiot_flash_file programs;
  aiot_flash_file configs;
  aiot_flash_file trust;
  aiot_mqtt_mosquitto mqtt;
  aiot_http_openssl http;
  aiot_signer_openssl signer;
  aiot_device device;
  aiot_feed feed;
  aiot_tail tail;
  int slot;
  /* Exit code that requests the launcher's next action; 0 = none. */
  int exit_code;
} program;

static volatile sig_atomic_t told_to_end;

static void on_signal(int number) {
  (void)number;
  told_to_end = 1;
}

static int64_t now(void) { return aiot_host_clock.now_ms(NULL); }

/* Prints an event as one line of deviceEventSchema (src/lib/device/events.ts). */
static void print_event(void *context, const char *event, const char *member, const char *json, size_t bytes) {
  const program *self = context;
  printf("{\"event\":\"%s\",\"device\":\"%s\",", event, self->identity.name);
  if (member != NULL) printf("\"t\":%lld,\"%s\":%.*s}\n", (long long)now(), member, (int)bytes, json);
  else printf("%.*s\n", (int)bytes - 1, json + 1);
  fflush(stdout);
}

static void reboot(void *context) { ((program *)context)->exit_code = AIOT_EXIT_RESTART; }

static void take_vitals(void *context, aiot_vitals *vitals) {
  const program *self = context;
  aiot_vitals_source from = {"/sys", "/proc", self->identity.folder};
  aiot_host_vitals(&from, vitals);
}

static int running(void *context) { return ((program *)context)->slot; }

static void begin_trial(void *context, int slot, const aiot_content *content) {
  program *self = context;
  (void)content;
  if (slot != self->slot) self->exit_code = AIOT_EXIT_BOOT_SLOT + slot;
}

static aiot_trial_state try_program(void *context, uint32_t *vectors, uint32_t *passed, aiot_error *error) {
  program *self = context;
  *vectors = 0;
  *passed = 0;
  if (self->exit_code != 0) return AIOT_TRIAL_RUNS;
  return aiot_self_test(&self->device.store[AIOT_KIND_FIRMWARE], self->slot, error) ? AIOT_TRIAL_PASSED : AIOT_TRIAL_FAILED;
}

static void abandon_trial(void *context, int slot, int active) {
  program *self = context;
  (void)active;
  if (slot == self->slot) self->exit_code = AIOT_EXIT_RESTART;
}

static void activate(void *context, int slot, const aiot_content *content) {
  program *self = context;
  (void)content;
  if (slot != self->slot) self->exit_code = AIOT_EXIT_RESTART;
}

/* A running bundled program counts as flashed by cable: the launcher starts it only if it is new. */
static bool by_cable(void *context, int slot) {
  (void)slot;
  return ((program *)context)->slot < 0;
}

static void configure(void *context, const aiot_config *config) {
  aiot_mqtt_mosquitto_keep_alive(&((program *)context)->mqtt, (int)config->keep_alive_s);
}

static int fail(int code, const char *what) {
  fprintf(stderr, "aiot-device: %s\n", what);
  return code;
}

static int complain(const char *what) { return fail(AIOT_EXIT_USAGE, what); }

static int open_flash(program *self) {
  char path[600];
  aiot_identity_path(&self->identity, "flash.bin", path, sizeof path);
  if (!aiot_flash_file_open(&self->models, path, AIOT_HOST_FLASH_BYTES, true)) {
    if (errno == EWOULDBLOCK) return fail(AIOT_EXIT_BUSY, "another process runs this device");
    return complain("flash.bin cannot be opened, or is of another size");
  }
  aiot_identity_path(&self->identity, "firmware.bin", path, sizeof path);
  if (!aiot_flash_file_open(&self->programs, path, AIOT_HOST_FLASH_BYTES, false)) {
    return complain("firmware.bin cannot be opened, or is of another size");
  }
  aiot_identity_path(&self->identity, "config.bin", path, sizeof path);
  if (!aiot_flash_file_open(&self->configs, path, AIOT_HOST_CONFIG_BYTES, false)) {
    return complain("config.bin cannot be opened, or is of another size");
  }
  aiot_identity_path(&self->identity, "trust.bin", path, sizeof path);
  if (!aiot_flash_file_open(&self->trust, path, AIOT_HOST_TRUST_BYTES, false)) {
    return complain("trust.bin cannot be opened, or is of another size");
  }
  return AIOT_EXIT_OK;
}

static int open_line(program *self) {
  char topic[AIOT_TOPIC_BYTES], will[96], ca[600], certificate[600], key[600];
  snprintf(topic, sizeof topic, "aiot/v1/%s/presence", self->identity.name);
  aiot_identity_path(&self->identity, "ca.crt", ca, sizeof ca);
  aiot_identity_path(&self->identity, "device.crt", certificate, sizeof certificate);
  aiot_identity_path(&self->identity, "device.key", key, sizeof key);
  const aiot_message message = {will, sizeof will, AIOT_ENCODING_JSON};
  const aiot_mqtt_place broker = {.url = self->identity.mqtts,
                                  .client_id = self->identity.name,
                                  .keep_alive_s = KEEP_ALIVE_S,
                                  .ca = ca,
                                  .certificate = certificate,
                                  .key = key,
                                  .will_topic = topic,
                                  .will = will,
                                  .will_bytes = aiot_presence_message(message, false, now())};
  const aiot_http_place platform = {self->identity.http, ca, certificate, key};
  if (!aiot_mqtt_mosquitto_open(&self->mqtt, &broker) || !aiot_http_openssl_open(&self->http, &platform)) {
    return complain("the device's key and certificates cannot be used");
  }
  if (!aiot_signer_openssl_open(&self->signer, key, certificate)) return complain("the device's key cannot sign");
#ifdef AIOT_FAULT_DEAF
  self->mqtt.next_ms = UINT64_MAX;
#endif
  return AIOT_EXIT_OK;
}

static int open_device(program *self, const aiot_program_options *options) {
  static const aiot_trial no_trial;
  static aiot_trial firmware;
  firmware = no_trial;
  firmware.context = self;
  firmware.running = running;
  firmware.begin = begin_trial;
  firmware.step = try_program;
  firmware.abandon = abandon_trial;
  firmware.activate = activate;
  firmware.by_cable = by_cable;
  const aiot_device_setup setup = {
      .name = self->identity.name,
      .id = self->identity.id,
      .type = self->identity.type,
      .firmware_name = AIOT_FIRMWARE_NAME,
      .firmware_version = AIOT_FIRMWARE_VERSION,
      .encoding = options->cbor ? AIOT_ENCODING_CBOR : AIOT_ENCODING_JSON,
      .clock = &aiot_host_clock,
      .mqtt = &self->mqtt.port,
      .http = &self->http.port,
      .crypto = &aiot_crypto_openssl,
      .trust = self->identity.has_trust ? &self->identity.trust : NULL,
      .trust_flash = &self->trust.flash,
      .signer = &self->signer.port,
      .flash = {[AIOT_KIND_MODEL] = &self->models.flash, [AIOT_KIND_FIRMWARE] = &self->programs.flash,
                [AIOT_KIND_CONFIG] = &self->configs.flash},
      .inference = &aiot_interpreter,
      .firmware = &firmware,
      .configure = configure,
      .memory = malloc(MEMORY_BYTES),
      .bytes = MEMORY_BYTES,
      .queue_bytes = 512 * 1024,
      .message_bytes = 128 * 1024,
      .envelope_bytes = AIOT_ENVELOPE_BYTES,
      .batch_values = 4096,
      .context = self,
      .event = print_event,
      .vitals = take_vitals,
      .reboot = reboot,
      .commands = own_commands,
      .settings = &own_settings,
      .settings_store = aiot_settings_file(self->identity.folder),
      .tail = &self->tail,
  };
  const aiot_code code = setup.memory == NULL ? AIOT_MEMORY_SHORT : aiot_device_open(&self->device, &setup);
  if (code == AIOT_SETTINGS_REJECTED) return complain("the table in aiot/own_settings.h is invalid");
  if (code != AIOT_OK) return complain("the flash cannot be read");
  return AIOT_EXIT_OK;
}

static void serve(program *self, const aiot_program_options *options) {
  for (;;) {
    const bool busy = aiot_feed_run(&self->feed, &self->device);
    const bool hungry = aiot_feed_hungry(&self->feed, &self->device);
    self->mqtt.wake = hungry ? self->feed.lines.descriptor : -1;
    if (!aiot_device_step(&self->device, busy ? 0 : 20)) return;
    aiot_host_crash_step(&self->device);
    if (self->exit_code != 0 || told_to_end) return;
    if (aiot_lines_over(&self->feed.lines) && !self->feed.draining && !options->stay) return;
  }
}

static void tell_stopped(program *self) {
  char text[40];
  const int bytes = snprintf(text, sizeof text, "{\"t\":%lld}", (long long)now());
  print_event(self, "stopped", NULL, text, (size_t)bytes);
}

int aiot_program_run(const aiot_program_options *options) {
  static program self;
  self.slot = options->slot;
  self.models.file = -1;
  self.programs.file = -1;
  self.configs.file = -1;
  self.trust.file = -1;
  const struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  char problem[700];
  if (!aiot_identity_read(&self.identity, options->folder, &aiot_crypto_openssl, problem, sizeof problem)) return complain(problem);
  int code = open_flash(&self);
  if (code == AIOT_EXIT_OK) code = open_line(&self);
  if (code == AIOT_EXIT_OK) code = open_device(&self, options);
  if (code == AIOT_EXIT_OK && !aiot_feed_open(&self.feed, STDIN_FILENO)) code = complain("the input cannot be read");
  if (code == AIOT_EXIT_OK) {
    /* Names the main thread in reports. Otherwise, its name is that of the link by which the launcher starts the program. */
    prctl(PR_SET_NAME, "aiot-device", 0, 0, 0);
    aiot_host_crash_watch(self.identity.folder, AIOT_FIRMWARE_VERSION, &self.tail);
    serve(&self, options);
    aiot_device_close(&self.device, 2000);
    if (self.exit_code == 0) tell_stopped(&self);
    code = self.exit_code;
    if (code == 0 && self.device.update[AIOT_KIND_MODEL].dead) code = AIOT_EXIT_FAILED;
  }
  aiot_http_openssl_close(&self.http);
  if (self.mqtt.client != NULL) aiot_mqtt_mosquitto_close(&self.mqtt);
  aiot_signer_openssl_close(&self.signer);
  aiot_flash_file_close(&self.models);
  aiot_flash_file_close(&self.programs);
  aiot_flash_file_close(&self.configs);
  aiot_flash_file_close(&self.trust);
  aiot_lines_close(&self.feed.lines);
  free(self.device.setup.memory);
  return code;
}
