/*
 * A board that uses the topics and payloads of "The Architect's Guide to the AIoT" (docs/reference/protocol.md#the-guides-boards)
 * instead of protocol v1, like src/lib/device/guide in TypeScript. It publishes nothing until the device registry has confirmed
 * it. The servo follows the network's prediction, even without a connection. There is no heap, and everything runs in one loop:
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

/*
 * Maximum payload on any of the guide's topics, bytes. PubSubClient drops packets of more than 256 bytes, including header and topic.
 */
#define AIOT_GUIDE_MESSAGE_BYTES 229
/* Space for any string in a message on these topics, including its NUL, bytes. */
#define AIOT_GUIDE_TEXT_BYTES (AIOT_GUIDE_MESSAGE_BYTES + 1)

/* A reading, in the order of the inputs of the guide's network. */
typedef struct {
  double current_a;
  double temperature_c;
  /* Vibration and sound, in the units of their sensors. */
  double vibration;
  double sound;
} aiot_guide_reading;

/* The decimal ID as in the guide's firmware: the last three bytes of the MAC address. */
uint32_t aiot_guide_chip_id(const uint8_t mac[6]);

/*
 * Messages as the guide's firmware prints them, without a NUL. They return the number of bytes; 0 = the message is longer than
 * small clients accept, or cannot represent a value. Decimals are rounded exactly, halves away from zero, like JavaScript's
 * toFixed.
 */
size_t aiot_guide_sensor_message(char out[AIOT_GUIDE_MESSAGE_BYTES], const char *id, const aiot_guide_reading *reading);
size_t aiot_guide_level1_message(char out[AIOT_GUIDE_MESSAGE_BYTES], const char *id, const aiot_guide_reading *reading, double inference);
/* If a model name is too long, only its end is written. `time_ms` is since 1970. */
size_t aiot_guide_level2_message(char out[AIOT_GUIDE_MESSAGE_BYTES], const char *id, const aiot_guide_reading *reading, double inference, const char *model,
                                 int64_t time_ms);

/* Parses another board's reading; false if it is invalid, or longer than a board accepts. */
bool aiot_guide_sensor_parse(const void *payload, size_t bytes, char id[AIOT_GUIDE_TEXT_BYTES], aiot_guide_reading *reading);

typedef struct {
  char command[AIOT_GUIDE_TEXT_BYTES];
  char payload[AIOT_GUIDE_TEXT_BYTES];
} aiot_guide_control;

/*
 * Parses a control message. False if a board must ignore it, because it is too long, not JSON, or lacks a command or a text
 * payload.
 */
bool aiot_guide_control_parse(const void *payload, size_t bytes, aiot_guide_control *control);

/* The guide's network. Its inputs are four unscaled readings, and its output is the probability of a failure. */
typedef struct aiot_guide_network aiot_guide_network;

/*
 * Opens a .tflite file of float32 (a chain of dense layers), of int8, or of int8 with float32 inputs and outputs. The file must
 * remain in place. Trailing bytes are ignored. Errors: AIOT_BUNDLE_MALFORMED, AIOT_MODEL_UNSUPPORTED, AIOT_MEMORY_SHORT.
 */
aiot_code aiot_guide_network_open(const uint8_t *tflite, size_t bytes, aiot_arena *arena, aiot_guide_network **out);
double aiot_guide_network_run(aiot_guide_network *network, const aiot_guide_reading *reading);

/* One of the guide's HTTP services. It handles one request at a time. */
typedef struct {
  void *context;
  /* Sends a POST with this form, or a GET if `form` is NULL. False = the service could not be reached. */
  bool (*ask)(void *context, const char *path, const char *form);
  /* Like `read` of aiot_http in ports.h. */
  int32_t (*read)(void *context, void *out, size_t bytes);
  void (*close)(void *context);
  /* HTTP status of the response; 0 = no response. */
  int (*status)(void *context);
} aiot_guide_service;

/* Level 1 reads sensors, acts and publishes. Level 2 runs another network on the readings of other boards. */
typedef enum { AIOT_GUIDE_READS, AIOT_GUIDE_JUDGES } aiot_guide_role;

typedef struct {
  /* The texts and tables must remain valid while the board is in use. */
  const char *id;
  aiot_guide_role role;
  /* Broker name that the board reports. */
  const char *broker;
  const aiot_clock *clock;
  /* The connection to the broker. It is not used before the board is active. */
  const aiot_mqtt *mqtt;
  const aiot_guide_service *registry;
  const aiot_guide_service *models;
  aiot_rule_spec rule;
  /* Memory for two networks with their files: the active network and its replacement. */
  void *memory;
  size_t bytes;

  void *context;
  /*
   * Called with each event: `json` is an object with `event`, `board`, `t` and its own members
   * (src/lib/device/guide/simulate.ts). NULL: no listener.
   */
  void (*event)(void *context, const char *event, const char *json, size_t bytes);
  /* Sets the servo's position; NULL = there is no servo. */
  void (*actuate)(void *context, bool on);
} aiot_guide_setup;

typedef enum { AIOT_GUIDE_WAITS, AIOT_GUIDE_ASKS, AIOT_GUIDE_ACTIVE } aiot_guide_phase;

typedef struct {
  aiot_guide_setup setup;
  aiot_guide_phase phase;
  /* Time of the next request, and time of the first request without an answer. */
  uint64_t ask_ms;
  uint64_t heard_ms;
  char answer[8];
  size_t answered;

  uint32_t connection;
  bool subscribed;
  aiot_rule rule;
  int64_t messages;

  /* The active network (NULL = none yet), the half of the memory that it is in, and its name. */
  aiot_guide_network *network;
  int half;
  char model[AIOT_GUIDE_TEXT_BYTES];
  /* Name of the network that is being loaded into the other half; empty = none. */
  bool loading;
  char wanted[AIOT_GUIDE_TEXT_BYTES];
  size_t loaded;
} aiot_guide_board;

/*
 * Opens the board. Returns AIOT_CONFIG_MALFORMED if the rule's thresholds are reversed, or the id is longer
 * than any message.
 */
aiot_code aiot_guide_open(aiot_guide_board *board, const aiot_guide_setup *setup);

/*
 * Performs pending work. Once the board is active, it waits up to `wait_ms` for messages. Before that, the caller should sleep.
 */
void aiot_guide_step(aiot_guide_board *board, uint32_t wait_ms);

/* Whether the board accepts readings: it reads sensors, is active, and has been connected to its broker. */
bool aiot_guide_ready(const aiot_guide_board *board);

/*
 * Handles a reading of the board's own sensors: publishes it, runs the network and acts on the result. Unsent
 * messages are lost, because a board of the guide stores nothing.
 */
void aiot_guide_read(aiot_guide_board *board, const aiot_guide_reading *reading);

/* Publishes that the board stops, and closes it. */
void aiot_guide_close(aiot_guide_board *board);

#endif
