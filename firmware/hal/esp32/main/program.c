/* The device on its board. One task runs the core; others sample, download and handle MQTT. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/own_settings.h"
#include "aiot/own_commands.h"
#include "esp32.h"
#include "esp_efuse.h"
#include "esp_log.h"
#include "esp_sleep.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "settings.h"
#if CONFIG_PM_ENABLE
#include "esp_pm.h"
#endif

/* FEED: maximum number of samples between two steps of the device. LOST_MS: minimum time between two messages about lost samples. */
enum { STACK = 16384, STEP_MS = 20, GOODBYE_MS = 2000, WILL = 96, FEED = 4096, LOST_MS = 10000 };

static const char tag[] = "aiot";
static const int adc_pins[] = {AIOT_ADC_PINS};

typedef struct {
  aiot_esp32_identity identity;
  aiot_device device;
  const aiot_esp32_source *source;
  bool taking;
  uint32_t told_lost;
  /* Time of the last message about lost samples; 0 = none. */
  uint64_t told_lost_ms;
  int64_t kept_sequence;
  int8_t kept_slot;
} program;

#if AIOT_INFERENCE_TFLM
#include "tflm.h"
#define INFERENCE (&aiot_tflm)
#else
#define INFERENCE (&aiot_interpreter)
#endif

/*
 * All memory of the core, in one block. It is allocated before Wi-Fi and TLS start, because no block of that size is available
 * afterward.
 */
static void *memory;
static size_t memory_bytes = AIOT_MEMORY_BYTES;

static uint64_t uptime(void) { return aiot_esp32_clock.uptime_ms(NULL); }

/* Prints an event as one line of serial output, in the format of the host's program, so that `aiot board monitor` can
 * follow it. */
static void on_event(void *context, const char *event, const char *member, const char *json, size_t bytes) {
  (void)context;
  if (member == NULL) ESP_LOGI(tag, "%s %.*s", event, (int)bytes, json);
  else ESP_LOGI(tag, "%s %s %.*s", event, member, (int)bytes, json);
  if (AIOT_ACTUATOR && strcmp(event, "inference") == 0) aiot_esp32_servo_answer(json, bytes, uptime());
}

/* Logs the free heap and its largest block, which must be large enough for a handshake. */
static void log_heap(const char *when) {
  aiot_heap heap;
  aiot_esp32_heap(NULL, &heap);
  ESP_LOGI(tag, "heap %s: %lu bytes free, largest block %lu", when, (unsigned long)heap.free, (unsigned long)heap.largest);
}

static void reboot(void *context) {
  (void)context;
  esp_restart();
}

static void configure(void *context, const aiot_config *config) {
  (void)context;
  aiot_esp32_mqtt_keep_alive((int)config->keep_alive_s);
  if (AIOT_ACTUATOR) aiot_esp32_servo_rule(&config->rule, uptime());
}

/* Records the releases that a newly provisioned board must not accept, unless it already has a record of its own. */
static bool begin_record(const aiot_flash *flash, program *self) {
  if (flash == NULL) return true;
  /* Uses the device's store and memory. They are not in use yet, because the device is opened later. */
  aiot_store *store = &self->device.store[AIOT_KIND_MODEL];
  if (!aiot_store_open_flash(store, flash, &aiot_crypto_mbedtls, memory)) return false;
  if (store->sector >= 0) return true;
  store->record.floor = self->identity.floor;
  store->record.sequence = self->identity.sequence;
  return aiot_store_persist(store);
}

static const aiot_mqtt *open_mqtt(program *self) {
  static char topic[AIOT_TOPIC_BYTES], will[WILL];
  snprintf(topic, sizeof topic, "aiot/v1/%s/presence", self->identity.name);
  const aiot_message message = {will, sizeof will, AIOT_ENCODING_JSON};
  const size_t bytes = aiot_presence_message(message, false, aiot_esp32_clock.now_ms(NULL));
  return aiot_esp32_mqtt_open(&self->identity, topic, will, bytes);
}

/* Lowest secure version that the bootloader starts. Without anti-rollback, an ESP32's fuses may have another use. */
static int64_t secure_version(void) {
#if CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK
  return (int64_t)esp_efuse_read_secure_version();
#else
  return 0;
#endif
}

/* Opens the device. Returns a description of the failure, or NULL. */
static const char *open_device(program *self) {
  const aiot_flash *models = aiot_esp32_models(), *programs = aiot_esp32_programs(), *configs = aiot_esp32_configs();
  const aiot_flash *trust = aiot_esp32_trust();
  if (models == NULL) return "the partition table has no model_0, model_1 and records";
  if (programs == NULL) ESP_LOGW(tag, "no ota_0, ota_1 and four sectors of records: programs can only be updated by cable");
  if (configs == NULL) ESP_LOGW(tag, "no partition config of four sectors: it cannot be configured over the air");
  if (trust == NULL) ESP_LOGW(tag, "no partition trust of two sectors: keys are fetched again after each restart");
  if (memory == NULL) return "the memory is too small";
  if (!begin_record(models, self)) return "the flash cannot be read";
  const aiot_device_setup setup = {
      .name = self->identity.name,
      .id = self->identity.id,
      .type = self->identity.type,
      .firmware_name = AIOT_FIRMWARE_NAME,
      .firmware_version = AIOT_FIRMWARE_VERSION,
      .secure_version = secure_version(),
      .encoding = AIOT_ENCODING_CBOR,
      .clock = &aiot_esp32_clock,
      .mqtt = open_mqtt(self),
      .http = aiot_esp32_http_open(&self->identity),
      .crypto = &aiot_crypto_mbedtls,
      .trust = self->identity.has_trust ? &self->identity.trust : NULL,
      .trust_flash = trust,
      .signer = aiot_esp32_signer(self->identity.key, self->identity.certificate),
      .flash = {[AIOT_KIND_MODEL] = models, [AIOT_KIND_FIRMWARE] = programs, [AIOT_KIND_CONFIG] = configs},
      .inference = INFERENCE,
      .firmware = aiot_esp32_trial(&self->device),
      .configure = configure,
      .memory = memory,
      .bytes = memory_bytes,
      .queue_bytes = AIOT_QUEUE_BYTES,
      .message_bytes = AIOT_MESSAGE_ROOM,
      .envelope_bytes = AIOT_ENVELOPE_ROOM,
      .batch_values = AIOT_BATCH_VALUES,
      .context = self,
      .event = on_event,
      .heap = aiot_esp32_heap,
      .vitals = aiot_esp32_vitals,
      .reboot = reboot,
      .commands = own_commands,
      .settings = &own_settings,
      .settings_store = &aiot_esp32_settings_store,
      .tail = aiot_esp32_log_tail(),
  };
  if (setup.mqtt == NULL || setup.http == NULL) return "the device's key and certificates cannot be used";
  const aiot_code code = aiot_device_open(&self->device, &setup);
  return code == AIOT_OK ? NULL : aiot_code_name(code);
}

/* Logs the ADC's highest rate. It is measured before the source opens the ADC. */
static void tell_fastest(program *self) {
  aiot_esp32_rate rate;
  char text[96];
  if (AIOT_SOURCE != AIOT_SOURCE_GUIDE && AIOT_SOURCE != AIOT_SOURCE_ACS712) return;
  /* Skipped after deep sleep, because the ADC is the same and the time awake is short. */
  if (esp_reset_reason() == ESP_RST_DEEPSLEEP) return;
  if (!aiot_esp32_adc_fastest(adc_pins, &rate)) snprintf(text, sizeof text, "the converter provides no data");
  else snprintf(text, sizeof text, "the converter provides at most %.0f conversions per second, requested %u", rate.hz, (unsigned)rate.asked_hz);
  aiot_device_log(&self->device, "info", text, AIOT_OK);
}

/* The name of a sensor's field in the project, which is also that in bundles. */
static const char *field_name(const char *field) {
  static const char *const pairs[][2] = AIOT_FIELD_NAMES;
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    if (strcmp(pairs[i][0], field) == 0) return pairs[i][1];
  }
  return field;
}

static void begin_take(program *self) {
  aiot_take take;
  memset(&take, 0, sizeof take);
  snprintf(take.stream, sizeof take.stream, "%s", AIOT_STREAM);
  take.rate_hz = self->source->rate_hz;
  take.fields = self->source->fields;
  for (size_t i = 0; i < take.fields; i++) snprintf(take.field[i], sizeof take.field[i], "%s", field_name(self->source->field[i]));
  /* A microphone or a camera has thousands of samples per second: far too many to send. */
  take.telemetry = AIOT_SOURCE != AIOT_SOURCE_SOUND && AIOT_SOURCE != AIOT_SOURCE_OV2640;
#if AIOT_SOURCE == AIOT_SOURCE_OV2640
  take.picture = (aiot_image_spec){AIOT_CAMERA_WIDTH, AIOT_CAMERA_HEIGHT, AIOT_CAMERA_FIT};
#endif
  take.predict = true;
  take.started_at = (double)aiot_esp32_clock.now_ms(NULL);
  const aiot_code code = aiot_device_take(&self->device, &take);
  self->taking = code == AIOT_OK || code == AIOT_RECORDING_UNFIT;
}

static void feed(program *self) {
  double values[AIOT_FIELDS_MAX];
  bool gap;
  /* The number is limited, because the device must also run while samples arrive faster than the model uses them. */
  for (size_t left = FEED; left > 0 && aiot_device_ready(&self->device) && aiot_esp32_sampler_take(values, &gap); left--) {
    if (gap || !self->taking) begin_take(self);
    if (self->taking) aiot_device_sample(&self->device, values);
  }
  const uint32_t lost = aiot_esp32_sampler_lost();
  const uint64_t now = uptime();
  if (lost == self->told_lost || (self->told_lost_ms != 0 && now - self->told_lost_ms < LOST_MS)) return;
  char text[112];
  snprintf(text, sizeof text, "%u samples were lost: they arrived faster than they could be processed", (unsigned)(lost - self->told_lost));
  self->told_lost = lost;
  self->told_lost_ms = now;
  aiot_device_log(&self->device, "warn", text, AIOT_OK);
}

/* Stores the values that `aiot flash --model` reads. */
static void keep(program *self) {
  const aiot_record *record = &self->device.store[AIOT_KIND_MODEL].record;
  if (record->sequence == self->kept_sequence && record->active == self->kept_slot) return;
  self->kept_sequence = record->sequence;
  self->kept_slot = record->active;
  aiot_esp32_identity_keep(record);
}

static bool updating(const program *self) {
  if (self->device.looks) return true;
  for (int kind = 0; kind < AIOT_KINDS; kind++) {
    if (self->device.setup.flash[kind] != NULL && !aiot_update_settled(&self->device.update[kind])) return true;
  }
  return false;
}

static void sleep_if_due(program *self) {
  if (AIOT_SLEEP_MS == 0 || uptime() < AIOT_AWAKE_MS || updating(self)) return;
  aiot_device_take_end(&self->device);
  aiot_device_close(&self->device, GOODBYE_MS);
  aiot_esp32_network_stop();
  esp_sleep_enable_timer_wakeup((uint64_t)AIOT_SLEEP_MS * 1000);
  esp_deep_sleep_start();
}

/* `platform`: URL of the platform, whose host may be a time server. False: there is no network. */
static bool connect(program *self, const char *platform) {
  const bool started = aiot_esp32_network_start(&self->identity);
  if (!started) ESP_LOGW(tag, "no network: its driver cannot be started");
  else if (!aiot_esp32_clock_prepare(platform, AIOT_TIME_SERVER)) ESP_LOGW(tag, "no time server is available");
  aiot_esp32_console_start(&self->identity);
  return started;
}

/* Starts a board without an identity: it enrolls if it has the key of a batch, and then restarts. Returns why it cannot. */
static const char *start_new(program *self) {
#if AIOT_ENROLL
  if (aiot_esp32_enroll_identity(&self->identity)) {
    /* The board's key must not be made of the random numbers that a chip has without its radio. */
    if (!connect(self, self->identity.http)) return "it cannot enroll without a network";
    ESP_LOGI(tag, "serial number %s asks for a certificate", self->identity.name);
    aiot_enroll_state state = aiot_esp32_enroll_open(&self->identity, memory, memory_bytes, uptime());
    while (state == AIOT_ENROLL_RUNS) {
      vTaskDelay(pdMS_TO_TICKS(STEP_MS));
      aiot_esp32_network_step(uptime());
      aiot_esp32_console_step(uptime());
      aiot_esp32_clock_step(aiot_esp32_network_joined());
      state = aiot_esp32_enroll_step(uptime());
    }
    if (state == AIOT_ENROLL_DONE) esp_restart();
    return "the board's own key or the key of its batch cannot be used";
  }
#endif
  (void)self;
  return "this board was not provisioned: aiot device provision NAME --port PORT";
}

static void run(void *context) {
  static program self;
  (void)context;
  const char *problem = NULL;
  if (!aiot_esp32_identity_read(&self.identity, &aiot_crypto_mbedtls)) problem = start_new(&self);
  if (problem == NULL) {
#if AIOT_ENROLL
    aiot_esp32_enroll_forget();
#endif
    connect(&self, self.identity.mqtts);
    self.kept_slot = AIOT_NO_SLOT;
    aiot_esp32_dump_present();
    problem = open_device(&self);
  }
  /* A program on trial that cannot work on this board must not be confirmed. The restart rolls back to the previous program. */
  if (problem != NULL) aiot_esp32_give_up(problem);
  log_heap("with the device");
  aiot_esp32_watch();
  tell_fastest(&self);
  self.source = aiot_esp32_source_chosen();
  if (!aiot_esp32_sampler_start(self.source)) aiot_device_log(&self.device, "error", "the sensor's task cannot be started", AIOT_OK);
  log_heap("with the sensor");
  if (AIOT_ACTUATOR && !aiot_esp32_servo_start(AIOT_SERVO_PIN, uptime())) aiot_device_log(&self.device, "error", "the servo's timer cannot be started", AIOT_OK);
  for (;;) {
    esp_task_wdt_reset();
    aiot_esp32_network_step(uptime());
    aiot_esp32_console_step(uptime());
    aiot_esp32_clock_step(aiot_esp32_network_joined());
    feed(&self);
    aiot_esp32_servo_step(uptime());
    if (!aiot_device_step(&self.device, STEP_MS)) esp_restart();
    aiot_esp32_confirm(&self.device);
    keep(&self);
    aiot_esp32_dump_step(&self.device, uptime());
    sleep_if_due(&self);
  }
}

/* Lets the chip sleep while all tasks wait, if it was built with the profile low-power. */
static void save_power(void) {
#if CONFIG_PM_ENABLE
  esp_pm_config_t power = {
    .max_freq_mhz = CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ,
    .min_freq_mhz = CONFIG_XTAL_FREQ,
    .light_sleep_enable = true,
  };
  if (esp_pm_configure(&power) != ESP_OK) ESP_LOGW(tag, "light sleep cannot be turned on");
#endif
}

/* With CONFIG_SPIRAM_IGNORE_NOTFOUND, a board without external RAM starts too. It then has the memory of its chip. */
static void allocate_memory(void) {
  memory = malloc(memory_bytes);
  if (memory != NULL || AIOT_MEMORY_BYTES <= AIOT_CHIP_MEMORY_BYTES) return;
  ESP_LOGW(tag, "no room for %u bytes; the largest models do not fit", (unsigned)memory_bytes);
  memory_bytes = AIOT_CHIP_MEMORY_BYTES;
  memory = malloc(memory_bytes);
}

void aiot_esp32_start(void) {
  save_power();
  if (!AIOT_COMPAT_GUIDE) allocate_memory();
  log_heap("at the start");
  xTaskCreate(AIOT_COMPAT_GUIDE ? aiot_esp32_guide_run : run, "aiot", STACK, NULL, 5, NULL);
}
