/*
 * A device of protocol v1 (docs/protocol.md), put together: ports, updates of each kind, the model in use, commands, presence and log, samples in and
 * messages out. All memory is given at the start. One loop runs it:
 *
 *   aiot_device_open(&device, &setup);
 *   for (;;) {
 *     if (a sample is there && aiot_device_ready(&device)) aiot_device_sample(&device, values);
 *     aiot_device_step(&device, 20);
 *   }
 */
#ifndef AIOT_DEVICE_H
#define AIOT_DEVICE_H

#include "aiot/config.h"
#include "aiot/pipeline.h"
#include "aiot/queue.h"
#include "aiot/telemetry.h"
#include "aiot/update.h"

#define AIOT_KINDS 3
#define AIOT_TOPIC_BYTES 160
/* Ids of commands that are remembered, so that one sent twice is done once. */
#define AIOT_COMMANDS_KEPT 16
/* Messages unacknowledged at a time. */
#define AIOT_WINDOW 16

/* A board's heap, bytes: free, the largest piece of it, and the least that was ever free since the start. */
typedef struct {
  uint32_t free;
  uint32_t largest;
  uint32_t least;
} aiot_heap;

typedef struct {
  /* These texts and tables stay where they are. */
  const char *name;
  const char *id;
  const char *type;
  const char *firmware_name;
  const char *firmware_version;
  aiot_encoding encoding;

  const aiot_clock *clock;
  const aiot_mqtt *mqtt;
  const aiot_http *http;
  const aiot_crypto *crypto;
  /* NULL = trusts nobody yet. */
  const aiot_trust *trust;
  /* Two sectors for what it learns of whom to trust; NULL = it forgets that at a restart. */
  const aiot_flash *trust_flash;
  /* What its commits are proved with; NULL = it only says what it runs. */
  const aiot_signer *signer;
  /* By aiot_kind; NULL = not updated over the air. */
  const aiot_flash *flash[AIOT_KINDS];
  const aiot_inference *inference;
  /* Of firmware: how this board boots another slot, and its self-test. */
  const aiot_trial *firmware;
  /* Uses a configuration from now on: what the core does not do itself, as the keep-alive and the actuator. NULL = there is nothing. */
  void (*configure)(void *context, const aiot_config *config);

  /* All memory of the device, given once; the rest of it is the model's. */
  void *memory;
  size_t bytes;
  size_t queue_bytes;
  size_t message_bytes;
  size_t envelope_bytes;
  /* Values (samples times fields) of one telemetry message. */
  size_t batch_values;

  void *context;
  /*
   * What happens on the device: `json` is an object of `bytes` bytes without a NUL. With `member` it is that member of the event, otherwise it has the
   * event's members, `t` among them. NULL = nobody listens.
   */
  void (*event)(void *context, const char *event, const char *member, const char *json, size_t bytes);
  /* The heap as it is now, which is reported; NULL = there is none to run out of. */
  void (*heap)(void *context, aiot_heap *heap);
  /* Restart from the flash; may return, then the device does nothing more. */
  void (*reboot)(void *context);
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
  /* Time of the first sample, ms since 1970; below 0 = not known. */
  double started_at;
} aiot_take;

typedef struct {
  int64_t samples;
  int64_t messages;
  int64_t inferences;
} aiot_taken;

typedef struct {
  aiot_device_setup setup;
  aiot_store store[AIOT_KINDS];
  aiot_update update[AIOT_KINDS];
  aiot_trial model_trial;
  aiot_trial config_trial;
  aiot_line line;
  aiot_keeper keeper;
  /* Whether it looks at the timestamp beside all updates, whether it should, and when it did. */
  bool looks;
  bool look_due;
  uint64_t looked_at_ms;
  aiot_queue queue;
  aiot_message message;
  /* The kind whose state `reported` tells of: the one that was heard of last. */
  aiot_kind speaks;

  uint32_t connection;
  bool subscribed;
  bool report_due;
  bool presence_due;
  bool heartbeat_due;
  uint32_t heartbeat;
  /* When `reported` was published last. */
  uint64_t reported_at_ms;
  /* Since when what runs of a kind is in use, and how long the wish that is named wants it to be before that is said; 0 = it need not. */
  uint64_t used_at_ms[AIOT_KINDS];
  int64_t soak_ms;
  char soaks[AIOT_ROLLOUT_BYTES];
  bool stopped;
  /* It is told of once all kinds are booted, not by each. */
  bool booting;
  /* A reply is on its way, then it restarts; 0 = no. */
  uint64_t reboot_at_ms;

  /* The active model; NULL = none that can be used. Its memory lies in `arena`, a trial takes what is left of it. */
  aiot_arena arena;
  size_t arena_mark;
  aiot_bundle bundle;
  aiot_predictor *predictor;
  aiot_content content;
  int trial_slot;
  uint32_t trial_bytes;
  /* The golden vectors of the model on trial; NULL = not begun. */
  aiot_golden *golden;

  /* In use, and where the one on trial lies. */
  aiot_config config;
  int config_slot;
  uint32_t config_bytes;

  bool taking;
  /* Its rate is the one that is used; the sensor's own is `sensor_hz`, of which `group` samples become one. */
  aiot_take take;
  double sensor_hz;
  size_t group;
  size_t grouped;
  double sum[AIOT_FIELDS_MAX];
  aiot_taken taken;
  /* Place of each of the model's fields in a sample. */
  size_t place[AIOT_FIELDS_MAX];
  bool fits;
  double *batch;
  size_t batch_samples;
  size_t batched;
  int64_t inferences;
  uint32_t told_dropped;

  char answered[AIOT_COMMANDS_KEPT][AIOT_ID_BYTES];
  size_t answers;
} aiot_device;

/* Boots from the flash. AIOT_MEMORY_SHORT, AIOT_FLASH_FAILED. */
aiot_code aiot_device_open(aiot_device *device, const aiot_device_setup *setup);

/* Does what there is to do, and waits `wait_ms` at most for messages. False once it has stopped for a restart or for a dead flash. */
bool aiot_device_step(aiot_device *device, uint32_t wait_ms);

/* Whether no update is under way and nothing waits to be acknowledged. */
bool aiot_device_idle(const aiot_device *device);

/* AIOT_MEMORY_SHORT where a second of samples does not fit, AIOT_RECORDING_UNFIT where the model in use takes other fields or another rate. */
aiot_code aiot_device_take(aiot_device *device, const aiot_take *take);

/* Whether what one more sample may lead to fits into the queue; when not, a sensor that can wait should. */
bool aiot_device_ready(const aiot_device *device);

/* One value a field, in the take's order. */
void aiot_device_sample(aiot_device *device, const double *values);

/* Sends what is left of the last batch. */
void aiot_device_take_end(aiot_device *device);

/* One line of its log: told of here, and published. */
void aiot_device_log(aiot_device *device, const char *level, const char *text, aiot_code code);

/* Says goodbye: presence offline, and what waits is given up after `wait_ms`. */
void aiot_device_close(aiot_device *device, uint32_t wait_ms);

/* "aiot/v1/{device}/{channel}" */
void aiot_device_topic(const aiot_device *device, const char *channel, char out[AIOT_TOPIC_BYTES]);

#endif
