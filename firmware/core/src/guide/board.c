#include <math.h>
#include <string.h>

#include "news.h"
#include "services.h"

/* Level 2 publishes predictions above this value. In the guide, 0.5 means a possible failure, and 0.8 an immediate one. */
#define ALERT_ABOVE 0.5

aiot_code aiot_guide_open(aiot_guide_board *board, const aiot_guide_setup *setup) {
  memset(board, 0, sizeof *board);
  board->setup = *setup;
  board->ask_ms = aiot_guide_uptime(board);
  if (strlen(setup->id) > AIOT_GUIDE_MESSAGE_BYTES) return AIOT_CONFIG_MALFORMED;
  return aiot_rule_init(&board->rule, &setup->rule, board->ask_ms) ? AIOT_OK : AIOT_CONFIG_MALFORMED;
}

/* Publishes a message. If `bytes` is 0, the message could not be written, which is reported. */
static void publish(aiot_guide_board *board, const char *topic, const char *message, size_t bytes) {
  const aiot_mqtt *mqtt = board->setup.mqtt;
  char text[AIOT_GUIDE_TEXT_BYTES];
  if (bytes == 0) {
    aiot_guide_refuse(board, topic, "its values exceed the limits of small clients");
    return;
  }
  if (!board->subscribed || mqtt->publish(mqtt->context, topic, message, bytes, 0, false) == 0) return;
  board->messages++;
  memcpy(text, message, bytes);
  text[bytes] = '\0';
  aiot_guide_tell(board, "sent", (aiot_guide_news){.text_key = "topic", .text = topic, .second_key = "payload", .second = text});
}

/* Returns the network's prediction; NaN without a network, or if the prediction is not a number. */
static double infer(aiot_guide_board *board, const char *of, const aiot_guide_reading *reading) {
  const double value = board->network == NULL ? (double)NAN : aiot_guide_network_run(board->network, reading);
  if (!isfinite(value)) return (double)NAN;
  aiot_guide_tell(board, "inference", (aiot_guide_news){.text_key = "of", .text = of, .number_key = "value", .number = value});
  return value;
}

static void judge(aiot_guide_board *board, const char *id, const aiot_guide_reading *reading) {
  char message[AIOT_GUIDE_MESSAGE_BYTES];
  const double value = infer(board, id, reading);
  if (!(value > ALERT_ABOVE)) return;
  const int64_t now = board->setup.clock->now_ms(board->setup.clock->context);
  const size_t bytes = aiot_guide_level2_message(message, id, reading, value, board->model, now < 0 ? 0 : now);
  publish(board, AIOT_GUIDE_LEVEL_2, message, bytes);
}

static void hear(aiot_guide_board *board, const char *topic, const uint8_t *payload, size_t bytes) {
  if (strcmp(topic, AIOT_GUIDE_CONTROL) == 0) {
    aiot_guide_control control;
    if (!aiot_guide_control_parse(payload, bytes, &control)) aiot_guide_refuse(board, topic, "not a control message for a board");
    else if (strcmp(control.command, "download-model") == 0) aiot_guide_want(board, control.payload);
  } else if (strcmp(topic, AIOT_GUIDE_DATA) == 0 && board->setup.role == AIOT_GUIDE_JUDGES) {
    char id[AIOT_GUIDE_TEXT_BYTES];
    aiot_guide_reading reading;
    if (aiot_guide_sensor_parse(payload, bytes, id, &reading) && strcmp(id, board->setup.id) != 0) judge(board, id, &reading);
  }
}

static void follow_connection(aiot_guide_board *board) {
  const aiot_mqtt *mqtt = board->setup.mqtt;
  const uint32_t connection = mqtt->connection(mqtt->context);
  if (connection != board->connection) {
    board->connection = connection;
    board->subscribed = false;
  }
  if (connection == 0 || board->subscribed) return;
  bool done = mqtt->subscribe(mqtt->context, AIOT_GUIDE_CONTROL, 0);
  if (board->setup.role == AIOT_GUIDE_JUDGES) done = done && mqtt->subscribe(mqtt->context, AIOT_GUIDE_DATA, 0);
  board->subscribed = done;
  if (done) aiot_guide_tell(board, "connected", (aiot_guide_news){.text_key = "broker", .text = board->setup.broker});
}

static void turn(aiot_guide_board *board, bool moved) {
  if (!moved) return;
  if (board->setup.actuate != NULL) board->setup.actuate(board->setup.context, board->rule.on);
  aiot_guide_tell(board, "servo", (aiot_guide_news){.flag_key = "on", .flag = board->rule.on});
}

void aiot_guide_step(aiot_guide_board *board, uint32_t wait_ms) {
  if (board->phase != AIOT_GUIDE_ACTIVE) {
    aiot_guide_activate(board);
    return;
  }
  follow_connection(board);
  turn(board, aiot_rule_tick(&board->rule, aiot_guide_uptime(board)));
  const bool more = aiot_guide_load(board);
  const aiot_mqtt *mqtt = board->setup.mqtt;
  const char *topic;
  const uint8_t *payload;
  size_t bytes;
  if (mqtt->receive(mqtt->context, more ? 0 : wait_ms, &topic, &payload, &bytes)) hear(board, topic, payload, bytes);
}

bool aiot_guide_ready(const aiot_guide_board *board) {
  /* Having published once is sufficient, because readings continue when the broker is lost. */
  return board->setup.role == AIOT_GUIDE_READS && board->phase == AIOT_GUIDE_ACTIVE && (board->subscribed || board->messages > 0);
}

void aiot_guide_read(aiot_guide_board *board, const aiot_guide_reading *reading) {
  char message[AIOT_GUIDE_MESSAGE_BYTES];
  publish(board, AIOT_GUIDE_DATA, message, aiot_guide_sensor_message(message, board->setup.id, reading));
  const double value = infer(board, board->setup.id, reading);
  turn(board, aiot_rule_answer(&board->rule, value, aiot_guide_uptime(board)));
  if (!(value > board->setup.rule.on_above)) return;
  publish(board, AIOT_GUIDE_LEVEL_1, message, aiot_guide_level1_message(message, board->setup.id, reading, value));
}

void aiot_guide_close(aiot_guide_board *board) {
  aiot_guide_tell(board, "ended", (aiot_guide_news){.number_key = "messages", .number = (double)board->messages});
}
