/*
 * A board that speaks the topics and payloads of "The Architect's Guide to the AIoT" (docs/protocol.md#the-guides-boards) instead of protocol v1, as
 * src/lib/device/guide does in TypeScript. It says nothing before the device registry has said TRUE of it, and acts by itself: its servo follows the
 * network's answer, also where nobody hears it. No heap; one loop runs it:
 *
 *   aiot_guide_open(&board, &setup);
 *   for (;;) {
 *     if (a reading is there && aiot_guide_ready(&board)) aiot_guide_read(&board, &reading);
 *     aiot_guide_step(&board, 20);
 *   }
 */
#ifndef AIOT_GUIDE_H
#define AIOT_GUIDE_H

#include "aiot/arena.h"
#include "aiot/code.h"
#include "aiot/ports.h"
#include "aiot/rule.h"

#define AIOT_GUIDE_DATA "shaded-pole-motor-sensor_data"
#define AIOT_GUIDE_CONTROL "control-message"
#define AIOT_GUIDE_LEVEL_1 "motor-anomaly-level1-inference"
#define AIOT_GUIDE_LEVEL_2 "motor-failure-alert-level2-inference"

/* Longest payload on any of them, bytes: PubSubClient drops packets of more than 256, header and topic among them. */
#define AIOT_GUIDE_MESSAGE_BYTES 229
/* Room for any text of such a message, with its NUL. */
#define AIOT_GUIDE_TEXT_BYTES (AIOT_GUIDE_MESSAGE_BYTES + 1)

/* In the order of the guide's network. */
typedef struct {
  double current_a;
  double temperature_c;
  /* In what their sensors give. */
  double vibration;
  double sound;
} aiot_guide_reading;

/* The decimal id by which the guide's firmware calls itself: the last three bytes of its MAC. */
uint32_t aiot_guide_chip_id(const uint8_t mac[6]);

/*
 * Messages as the guide's firmware prints them, without a NUL. Their bytes; 0 = longer than small clients take, or a value is none that a message can
 * hold. Decimals are rounded exactly, halves away from zero, as JavaScript's toFixed has them.
 */
size_t aiot_guide_sensor_message(char out[AIOT_GUIDE_MESSAGE_BYTES], const char *id, const aiot_guide_reading *reading);
size_t aiot_guide_level1_message(char out[AIOT_GUIDE_MESSAGE_BYTES], const char *id, const aiot_guide_reading *reading, double inference);
/* Of a model whose name is too long the end is told. `time_ms` since 1970. */
size_t aiot_guide_level2_message(char out[AIOT_GUIDE_MESSAGE_BYTES], const char *id, const aiot_guide_reading *reading, double inference, const char *model,
                                 int64_t time_ms);

/* Another board's reading; false for what is none, or is longer than a board takes. */
bool aiot_guide_sensor_parse(const void *payload, size_t bytes, char id[AIOT_GUIDE_TEXT_BYTES], aiot_guide_reading *reading);

typedef struct {
  char command[AIOT_GUIDE_TEXT_BYTES];
  char payload[AIOT_GUIDE_TEXT_BYTES];
} aiot_guide_control;

/* False for what a board must not act on: too long, no JSON, or without a command and a payload of text. */
bool aiot_guide_control_parse(const void *payload, size_t bytes, aiot_guide_control *control);

/* The guide's network: four readings in, as they are, and the probability of a failure out. */
typedef struct aiot_guide_network aiot_guide_network;

/*
 * A .tflite file of float32 (layers of neurons, one after the other), of int8, or of int8 with float32 ends; it must stay where it is. What lies behind
 * it does not count. AIOT_BUNDLE_MALFORMED, AIOT_MODEL_UNSUPPORTED, AIOT_MEMORY_SHORT.
 */
aiot_code aiot_guide_network_open(const uint8_t *tflite, size_t bytes, aiot_arena *arena, aiot_guide_network **out);
double aiot_guide_network_run(aiot_guide_network *network, const aiot_guide_reading *reading);

/* One of the guide's HTTP services, one question at a time. */
typedef struct {
  void *context;
  /* POST of this form, or GET where there is none. False = not reached. */
  bool (*ask)(void *context, const char *path, const char *form);
  /* As aiot_http has them: ports.h. */
  int32_t (*read)(void *context, void *out, size_t bytes);
  void (*close)(void *context);
  /* Of the answer; 0 = none came. */
  int (*status)(void *context);
} aiot_guide_service;

/* Level 1 reads sensors, acts and tells; level 2 looks at the readings of others once more. */
typedef enum { AIOT_GUIDE_READS, AIOT_GUIDE_JUDGES } aiot_guide_role;

typedef struct {
  /* These texts and tables stay where they are. */
  const char *id;
  aiot_guide_role role;
  /* What it is told of as its broker. */
  const char *broker;
  const aiot_clock *clock;
  /* Not asked for anything before the board is active. */
  const aiot_mqtt *mqtt;
  const aiot_guide_service *registry;
  const aiot_guide_service *models;
  aiot_rule_spec rule;
  /* For two networks with their files: the one in use, and the one that comes. */
  void *memory;
  size_t bytes;

  void *context;
  /* Called with each event: `json` is an object with `event`, `board`, `t` and its own members (src/lib/device/guide/simulate.ts). NULL: no listener. */
  void (*event)(void *context, const char *event, const char *json, size_t bytes);
  /* The servo's position. NULL = there is none. */
  void (*actuate)(void *context, bool on);
} aiot_guide_setup;

typedef enum { AIOT_GUIDE_WAITS, AIOT_GUIDE_ASKS, AIOT_GUIDE_ACTIVE } aiot_guide_phase;

typedef struct {
  aiot_guide_setup setup;
  aiot_guide_phase phase;
  /* When it asks again, and since when nothing has come of what it asked. */
  uint64_t ask_ms;
  uint64_t heard_ms;
  char answer[8];
  size_t answered;

  uint32_t connection;
  bool subscribed;
  aiot_rule rule;
  int64_t messages;

  /* The network in use; NULL = none yet. Its half of the memory, and its name. */
  aiot_guide_network *network;
  int half;
  char model[AIOT_GUIDE_TEXT_BYTES];
  /* The one that comes into the other half; empty = none. */
  bool loading;
  char wanted[AIOT_GUIDE_TEXT_BYTES];
  size_t loaded;
} aiot_guide_board;

/* AIOT_CONFIG_MALFORMED: the rule's thresholds are the wrong way round, or the id is longer than any message. */
aiot_code aiot_guide_open(aiot_guide_board *board, const aiot_guide_setup *setup);

/* Does what there is to do; once it is active it waits `wait_ms` at most for messages, before that the caller is to rest. */
void aiot_guide_step(aiot_guide_board *board, uint32_t wait_ms);

/* Whether it is one that reads, is active, and its broker has heard of it: readings are wanted from then on. */
bool aiot_guide_ready(const aiot_guide_board *board);

/* A reading of its own: told, judged, acted upon. What cannot be sent is lost, for a board of the guide keeps nothing. */
void aiot_guide_read(aiot_guide_board *board, const aiot_guide_reading *reading);

/* It ends, and says so. */
void aiot_guide_close(aiot_guide_board *board);

#endif
