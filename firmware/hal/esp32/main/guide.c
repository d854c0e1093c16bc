/* A board that uses the guide's protocol: its four sensors, its servo, its services (aiot/guide.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/guide.h"
#include "esp32.h"
#include "esp_log.h"
#include "esp_mac.h"
#include "esp_task_wdt.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "settings.h"

#if AIOT_COMPAT_GUIDE && AIOT_SOURCE != AIOT_SOURCE_GUIDE
#error "a board of the guide needs the guide's sensors: AIOT_SOURCE_GUIDE"
#endif

/* The keep-alive interval is that of PubSubClient. */
enum { STEP_MS = 20, KEEP_ALIVE_S = 15, FIELDS = 4, REGISTRY = 0, MODELS = 1 };

static const char tag[] = "aiot";

typedef struct {
  aiot_esp32_identity identity;
  char id[12];
  aiot_guide_service services[2];
  aiot_guide_board board;
  const aiot_esp32_source *source;
  /* Sum of a reading's samples. */
  aiot_guide_reading sum;
  uint32_t samples;
  uint64_t read_ms;
} program;

static uint64_t uptime(void) { return aiot_esp32_clock.uptime_ms(NULL); }

static void on_event(void *context, const char *event, const char *json, size_t bytes) {
  (void)context;
  ESP_LOGI(tag, "%s %.*s", event, (int)bytes, json);
}

static void turn(void *context, bool on) {
  (void)context;
  if (AIOT_ACTUATOR) aiot_esp32_servo_turn(on);
}

/* Opens the board. Returns a description of the failure, or NULL. */
static const char *open_board(program *self, void *memory) {
  static char registry[] = AIOT_GUIDE_REGISTRY, models[] = AIOT_GUIDE_MODELS;
  char *const places[] = {[REGISTRY] = registry, [MODELS] = models};
  uint8_t mac[8];
  if (esp_efuse_mac_get_default(mac) != ESP_OK) return "the chip has no MAC";
  snprintf(self->id, sizeof self->id, "%lu", (unsigned long)aiot_guide_chip_id(mac));
  if (!aiot_esp32_services_open(AIOT_GUIDE_CA, self->services, places, 2)) return "the memory is too small";
  const aiot_guide_setup setup = {
      .id = self->id,
      .role = AIOT_GUIDE_ROLE,
      .broker = AIOT_GUIDE_BROKER,
      .clock = &aiot_esp32_clock,
      .mqtt = aiot_esp32_mqtt_open_plain(AIOT_GUIDE_BROKER, self->id, KEEP_ALIVE_S),
      .registry = &self->services[REGISTRY],
      .models = &self->services[MODELS],
      .rule = aiot_rule_default(),
      .memory = memory,
      .bytes = AIOT_GUIDE_MEMORY_BYTES,
      .context = self,
      .event = on_event,
      .actuate = turn,
  };
  if (setup.mqtt == NULL) return "the broker's address cannot be used";
  if (setup.memory == NULL) return "the memory is too small";
  const aiot_code code = aiot_guide_open(&self->board, &setup);
  return code == AIOT_OK ? NULL : aiot_code_name(code);
}

/* Adds a sample, whose values are in the source's order, to the sum. */
static void add(program *self, const double values[FIELDS]) {
  for (size_t i = 0; i < FIELDS; i++) {
    const char *name = self->source->field[i];
    if (strcmp(name, "current") == 0) self->sum.current_a += values[i];
    else if (strcmp(name, "temperature") == 0) self->sum.temperature_c += values[i];
    else if (strcmp(name, "vibration") == 0) self->sum.vibration += values[i];
    else self->sum.sound += values[i];
  }
  self->samples++;
}

static void feed(program *self) {
  double values[AIOT_FIELDS_MAX];
  bool gap;
  while (aiot_esp32_sampler_take(values, &gap)) {
    if (aiot_guide_ready(&self->board)) add(self, values);
  }
  if (self->samples == 0 || uptime() - self->read_ms < AIOT_GUIDE_READING_MS) return;
  const double n = self->samples;
  const aiot_guide_reading reading = {self->sum.current_a / n, self->sum.temperature_c / n, self->sum.vibration / n, self->sum.sound / n};
  self->sum = (aiot_guide_reading){0};
  self->samples = 0;
  self->read_ms = uptime();
  aiot_guide_read(&self->board, &reading);
}

void aiot_esp32_guide_run(void *context) {
  static program self;
  (void)context;
  /* The memory is allocated before Wi-Fi starts, because no block of that size is available afterward. */
  void *memory = malloc(AIOT_GUIDE_MEMORY_BYTES);
  const char *problem = NULL;
  if (!aiot_esp32_identity_read_wifi(&self.identity)) problem = "this board has no Wi-Fi settings: aiot device provision NAME --port PORT";
  if (problem == NULL) {
    if (!aiot_esp32_network_start(&self.identity)) ESP_LOGW(tag, "the radio cannot be started");
    else if (!aiot_esp32_clock_prepare(AIOT_GUIDE_BROKER, AIOT_TIME_SERVER)) ESP_LOGW(tag, "no time server is available");
    problem = open_board(&self, memory);
  }
  if (problem != NULL) aiot_esp32_give_up(problem);
  aiot_esp32_watch();
  self.source = aiot_esp32_source_chosen();
  if (AIOT_GUIDE_ROLE == AIOT_GUIDE_READS && !aiot_esp32_sampler_start(self.source)) ESP_LOGE(tag, "the sensor's task cannot be started");
  if (AIOT_ACTUATOR && !aiot_esp32_servo_start(AIOT_SERVO_PIN, uptime())) ESP_LOGE(tag, "the servo's timer cannot be started");
  for (;;) {
    esp_task_wdt_reset();
    aiot_esp32_network_step(uptime());
    aiot_esp32_clock_step(aiot_esp32_network_joined());
    if (AIOT_GUIDE_ROLE == AIOT_GUIDE_READS) feed(&self);
    aiot_esp32_servo_step(uptime());
    const bool active = self.board.phase == AIOT_GUIDE_ACTIVE;
    aiot_guide_step(&self.board, STEP_MS);
    if (!active) vTaskDelay(pdMS_TO_TICKS(STEP_MS));
  }
}
