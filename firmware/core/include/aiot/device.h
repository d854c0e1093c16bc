/*
 * A complete device of protocol v1 (docs/reference/protocol.md): ports, updates of each kind, the active model, commands, presence and
 * log, samples in and messages out. All memory is provided at the start. It runs in one loop:
 *
 *   aiot_device_open(&device, &setup);
 *   for (;;) {
 *     if (a sample is there && aiot_device_ready(&device)) aiot_device_sample(&device, values);
 *     aiot_device_step(&device, 20);
 *   }
 */
#ifndef AIOT_DEVICE_H
#define AIOT_DEVICE_H

#include "aiot/command.h"
#include "aiot/config.h"
#include "aiot/pipeline.h"
#include "aiot/queue.h"
#include "aiot/setting.h"
#include "aiot/tail.h"
#include "aiot/telemetry.h"
#include "aiot/update.h"

#define AIOT_KINDS 3
#define AIOT_TOPIC_BYTES 160
/* Number of command ids that are remembered, so that a command that is sent again runs only once. */
#define AIOT_COMMANDS_KEPT 16
/* Maximum number of unacknowledged messages. */
#define AIOT_WINDOW 16

/* A board's heap, in bytes: free now, largest free block, and the lowest free size since boot. */
typedef struct {
  uint32_t free;
  uint32_t largest;
  uint32_t least;
} aiot_heap;

/* Readings about the device itself, in addition to the core's own. A reading that is not taken keeps the value that means unknown. */
typedef struct {
  /* Charge of the battery, percent; below 0 = unknown, or no battery. */
  int battery_percent;
  /* Bytes of the file system; a total of 0 = unknown, or none. */
  uint64_t disk_free;
  uint64_t disk_total;
  /* Strength of the Wi-Fi signal, dBm; 0 = unknown, or no Wi-Fi. */
  int rssi_dbm;
  /* Reason for the last restart, a word of the protocol such as "panic"; NULL = unknown. */
  const char *boot;
} aiot_vitals;

typedef struct {
  /* These texts and tables must remain valid. */
  const char *name;
  const char *id;
  const char *type;
  const char *firmware_name;
  const char *firmware_version;
  /* Lowest secure version of a program that the chip boots (anti-rollback); 0 = any. */
  int64_t secure_version;
  aiot_encoding encoding;

  const aiot_clock *clock;
  const aiot_mqtt *mqtt;
  const aiot_http *http;
  const aiot_crypto *crypto;
  /* Keys that the device trusts; NULL = none yet. */
  const aiot_trust *trust;
  /* Flash for trust state received over the air, which takes two sectors. NULL = the state is lost on restart. */
  const aiot_flash *trust_flash;
  /* Signs proofs of commits; NULL = versions are reported without proof. */
  const aiot_signer *signer;
  /* Flash for each kind of update, by aiot_kind; NULL = the kind is not updated over the air. */
  const aiot_flash *flash[AIOT_KINDS];
  const aiot_inference *inference;
  /* For firmware: how this board boots another slot, and its self-test. NULL = none. */
  const aiot_trial *firmware;
  /*
   * Applies a configuration's settings outside the core, such as the keep-alive and the actuator.
   * NULL = none.
   */
  void (*configure)(void *context, const aiot_config *config);

  /* All memory of the device. The model gets the remainder. */
  void *memory;
  size_t bytes;
  size_t queue_bytes;
  size_t message_bytes;
  size_t envelope_bytes;
  /* Number of values (samples times fields) per telemetry message. */
  size_t batch_values;

  void *context;
  /*
   * Called for each event. `json` is an object of `bytes` bytes without a NUL. If `member` is given, the object is that member of
   * the event; otherwise it contains the event's members, including `t`. NULL = no listener.
   */
  void (*event)(void *context, const char *event, const char *member, const char *json, size_t bytes);
  /* Reads the current state of the heap, for reports; NULL = there is no heap. */
  void (*heap)(void *context, aiot_heap *heap);
  /* Takes the readings about the device itself, for reports; NULL = there are none. */
  void (*vitals)(void *context, aiot_vitals *vitals);
  /* Restarts the device from its flash. If this function returns, the device stops. */
  void (*reboot)(void *context);
  /* The program's own commands (aiot/command.h); NULL = none. */
  const aiot_command *commands;
  /* The program's own settings (aiot/setting.h), and where they are stored; NULL = none, and only until the next start. */
  const aiot_setting_table *settings;
  const aiot_settings_store *settings_store;
  /* Receives each line of the log, for crash reports; NULL = none. */
  aiot_tail *tail;
} aiot_device_setup;

/* One continuous series of samples. */
typedef struct {
  char stream[AIOT_NAME_BYTES];
  /* Empty = none. */
  char recording[AIOT_NAME_BYTES];
  double rate_hz;
  size_t fields;
  char field[AIOT_FIELDS_MAX][AIOT_NAME_BYTES];
  bool telemetry;
  bool predict;
  /* Time of the first sample, ms since 1970; below 0 = unknown. */
  double started_at;
  /*
   * Size of the pictures whose pixels are the samples; a width of 0 = the samples are not pixels. Only models for pictures of this size
   * fit.
   */
  aiot_image_spec picture;
} aiot_take;

typedef struct {
  int64_t samples;
  int64_t messages;
  int64_t inferences;
} aiot_taken;

/* Levels of log lines, from the least severe one. */
typedef enum { AIOT_LOG_DEBUG, AIOT_LOG_INFO, AIOT_LOG_WARN, AIOT_LOG_ERROR, AIOT_LOG_LEVELS } aiot_log_level;

/* The level after each start. The command log-level changes it. */
#define AIOT_USUAL_LOG_LEVEL AIOT_LOG_INFO

typedef struct {
  aiot_device_setup setup;
  aiot_store store[AIOT_KINDS];
  aiot_update update[AIOT_KINDS];
  aiot_trial model_trial;
  aiot_trial config_trial;
  aiot_line line;
  aiot_keeper keeper;
  /*
   * State of the periodic timestamp check, which does not depend on updates: whether it is running, whether it is due, and the
   * time of the last one.
   */
  bool looks;
  bool look_due;
  uint64_t looked_at_ms;
  aiot_queue queue;
  aiot_message message;
  /* The kind that `reported` is about, which is the one that changed last. */
  aiot_kind speaks;

  /* State of the program's own settings; NULL = it has none. */
  aiot_settings_state *settings;

  uint32_t connection;
  bool subscribed;
  bool report_due;
  bool presence_due;
  bool heartbeat_due;
  uint32_t heartbeat;
  /* Time at which `reported` was last published. */
  uint64_t reported_at_ms;
  /*
   * Time since which each kind's current version has been in use, and the time for which the desired release must run before the
   * device proves it; 0 = no proof is required.
   */
  uint64_t used_at_ms[AIOT_KINDS];
  int64_t soak_ms;
  char soaks[AIOT_ROLLOUT_BYTES];
  bool stopped;
  /* Whether some kinds are still booting. The device reports once when all have booted, not after each. */
  bool booting;
  /* Time by which the pending reply must be sent. The device then restarts. 0 = no restart is pending. */
  uint64_t reboot_at_ms;

  /* The active model; NULL = there is no usable model. Its memory is in `arena`; a trial uses the remainder of `arena`. */
  aiot_arena arena;
  size_t arena_mark;
  aiot_bundle bundle;
  aiot_predictor *predictor;
  aiot_content content;
  int trial_slot;
  uint32_t trial_bytes;
  /* The golden vectors of the model on trial; NULL = they have not been started. */
  aiot_golden *golden;

  /* The configuration in use, and slot and size of the one on trial. */
  aiot_config config;
  int config_slot;
  uint32_t config_bytes;

  bool taking;
  /*
   * The current take. Its rate is the rate after averaging. `sensor_hz` is the sensor's own rate; each value is the mean of `group` of the
   * sensor's samples.
   */
  aiot_take take;
  double sensor_hz;
  size_t group;
  size_t grouped;
  double sum[AIOT_FIELDS_MAX];
  aiot_taken taken;
  /* For each of the model's fields, its index in a sample. */
  size_t place[AIOT_FIELDS_MAX];
  bool fits;
  /* Number of samples to skip, so that a model that was activated within a picture starts with the next one. */
  size_t skip;
  double *batch;
  size_t batch_samples;
  size_t batched;
  int64_t inferences;
  uint32_t told_dropped;

  char answered[AIOT_COMMANDS_KEPT][AIOT_ID_BYTES];
  size_t answers;

  /* The least severe level of the log, and the uptime at which it becomes the usual one again; 0 = at the next start. */
  aiot_log_level log_level;
  uint64_t log_until_ms;
} aiot_device;

/* Boots from flash. Returns AIOT_MEMORY_SHORT or AIOT_FLASH_FAILED on failure. */
aiot_code aiot_device_open(aiot_device *device, const aiot_device_setup *setup);

/*
 * Performs pending work, then waits up to `wait_ms` for messages. Returns false once the device has stopped for a restart or a flash
 * failure.
 */
bool aiot_device_step(aiot_device *device, uint32_t wait_ms);

/* Whether no update is in progress and no message waits for its acknowledgment. */
bool aiot_device_idle(const aiot_device *device);

/*
 * Starts a take. Returns AIOT_MEMORY_SHORT if the samples of one message do not fit, or AIOT_RECORDING_UNFIT if the active
 * model needs other fields or another rate.
 */
aiot_code aiot_device_take(aiot_device *device, const aiot_take *take);

/*
 * Whether the queue has room for the messages that one more sample may produce. If not, the next
 * sample should be delayed if the sensor allows it.
 */
bool aiot_device_ready(const aiot_device *device);

/* Processes one sample: one value per field, in the take's order. */
void aiot_device_sample(aiot_device *device, const double *values);

/* Sends the remaining samples of the last batch. */
void aiot_device_take_end(aiot_device *device);

/*
 * Logs one line, as an event and as a published message, unless its level ("debug", "info", "warn" or "error") is below the device's
 * current one.
 */
void aiot_device_log(aiot_device *device, const char *level, const char *text, aiot_code code);

/* Publishes that the device goes offline, and closes it. Messages that are still pending after `wait_ms` are dropped. */
void aiot_device_close(aiot_device *device, uint32_t wait_ms);

/* Writes the topic "aiot/v1/{device}/{channel}" to `out`. */
void aiot_device_topic(const aiot_device *device, const char *channel, char out[AIOT_TOPIC_BYTES]);

#endif
