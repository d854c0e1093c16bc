/* The native board that uses the guide's protocol: the core with a Linux program's ports. */
#define _GNU_SOURCE
#include "aiot/guide.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "aiot/json.h"
#include "clock.h"
#include "guide_settings.h"
#include "http_openssl.h"
#include "lines.h"
#include "mqtt_mosquitto.h"
#include "program.h"

/* The keep-alive interval is that of PubSubClient. */
#define KEEP_ALIVE_S 15
/* Space for two models of up to about 1 MiB each, which is the limit of the services' other clients. */
#define MEMORY_BYTES (2u * 1280u * 1024u)
#define LINE_BYTES 4096
#define STEP_MS 20

typedef struct {
  aiot_guide_settings settings;
  aiot_http_openssl registry, models;
  aiot_mqtt_mosquitto mqtt;
  aiot_guide_board board;
  /* Readings, one {"reading":[0.5,24.5,0.25,60]} per line, in the order of aiot_guide_reading. */
  aiot_lines lines;
} program;

static volatile sig_atomic_t told_to_end;

static void on_signal(int number) {
  (void)number;
  told_to_end = 1;
}

static bool ask(void *context, const char *path, const char *form) { return aiot_http_openssl_ask(context, path, 0, form); }

static int32_t read_service(void *context, void *out, size_t bytes) {
  aiot_http_openssl *http = context;
  return http->port.read(http, out, bytes);
}

static void close_service(void *context) {
  aiot_http_openssl *http = context;
  http->port.close(http);
}

static int status_of(void *context) { return ((aiot_http_openssl *)context)->answer.status; }

/* Prints an event as one line of guideEventSchema (src/lib/device/guide/simulate.ts). */
static void print_event(void *context, const char *event, const char *json, size_t bytes) {
  (void)context;
  (void)event;
  printf("%.*s\n", (int)bytes, json);
  fflush(stdout);
}

static bool read_reading(const char *line, size_t bytes, aiot_guide_reading *reading) {
  double *const value[] = {&reading->current_a, &reading->temperature_c, &reading->vibration, &reading->sound};
  size_t count = 0;
  aiot_json json;
  aiot_json_begin(&json, line, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (!aiot_json_is(&json, "reading") || !aiot_json_enter(&json, '[')) return false;
    while (aiot_json_element(&json)) {
      const double number = aiot_json_number(&json);
      if (count < 4) *value[count] = number;
      count++;
    }
  }
  return aiot_json_done(&json) && count == 4;
}

/* Feeds at most one line, so that messages are handled in between. Returns whether there was one. */
static bool feed(program *self) {
  size_t bytes;
  aiot_guide_reading reading;
  /* The input is always polled, so that its end is detected. */
  const char *line = aiot_lines_first(&self->lines, &bytes);
  if (line == NULL || !aiot_guide_ready(&self->board)) return false;
  if (read_reading(line, bytes, &reading)) aiot_guide_read(&self->board, &reading);
  else fputs("aiot-device: a line of the input is invalid\n", stderr);
  aiot_lines_done(&self->lines, bytes);
  return true;
}

static void serve(program *self, const aiot_program_options *options) {
  while (!told_to_end && (options->stay || !aiot_lines_over(&self->lines))) {
    const bool fed = feed(self);
    self->mqtt.wake = aiot_guide_ready(&self->board) && !self->lines.ended ? self->lines.descriptor : -1;
    const bool waits = self->board.phase == AIOT_GUIDE_ACTIVE;
    aiot_guide_step(&self->board, fed ? 0 : STEP_MS);
    if (!waits) poll(NULL, 0, STEP_MS);
  }
}

static int complain(const char *what) {
  fprintf(stderr, "aiot-device: %s\n", what);
  return AIOT_EXIT_USAGE;
}

static int open_ports(program *self) {
  const aiot_guide_settings *settings = &self->settings;
  const char *ca = settings->ca[0] == '\0' ? NULL : settings->ca;
  const aiot_mqtt_place broker = {.url = settings->broker, .client_id = settings->id, .keep_alive_s = KEEP_ALIVE_S};
  if (!aiot_http_openssl_open(&self->registry, &(aiot_http_place){.url = settings->registry, .ca = ca}) ||
      !aiot_http_openssl_open(&self->models, &(aiot_http_place){.url = settings->models, .ca = ca})) {
    return complain("the certificate of the guide's services cannot be used");
  }
  if (!aiot_mqtt_mosquitto_open(&self->mqtt, &broker)) return complain("the broker's address cannot be used");
  return aiot_lines_open(&self->lines, STDIN_FILENO, LINE_BYTES) ? AIOT_EXIT_OK : complain("the input cannot be read");
}

int aiot_guide_run(const aiot_program_options *options) {
  static program self;
  char problem[700];
  const struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  if (!aiot_guide_settings_read(&self.settings, options->folder, problem, sizeof problem)) return complain(problem);
  const int code = open_ports(&self);
  if (code != AIOT_EXIT_OK) return code;
  aiot_guide_service services[2];
  for (size_t i = 0; i < 2; i++) {
    services[i] = (aiot_guide_service){i == 0 ? &self.registry : &self.models, ask, read_service, close_service, status_of};
  }
  const aiot_guide_setup setup = {
      .id = self.settings.id,
      .role = self.settings.role,
      .broker = self.settings.broker,
      .clock = &aiot_host_clock,
      .mqtt = &self.mqtt.port,
      .registry = &services[0],
      .models = &services[1],
      .rule = aiot_rule_default(),
      .memory = malloc(MEMORY_BYTES),
      .bytes = MEMORY_BYTES,
      .context = &self,
      .event = print_event,
  };
  if (setup.memory == NULL || aiot_guide_open(&self.board, &setup) != AIOT_OK) return complain("the memory is too small");
  serve(&self, options);
  aiot_guide_close(&self.board);
  aiot_http_openssl_close(&self.registry);
  aiot_http_openssl_close(&self.models);
  aiot_mqtt_mosquitto_close(&self.mqtt);
  aiot_lines_close(&self.lines);
  free(setup.memory);
  return AIOT_EXIT_OK;
}
