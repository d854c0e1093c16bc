#include "outbox.h"

#include <string.h>

int64_t aiot_device_now(const aiot_device *device) {
  const aiot_clock *clock = device->setup.clock;
  return clock->now_ms(clock->context);
}

uint64_t aiot_device_uptime(const aiot_device *device) {
  const aiot_clock *clock = device->setup.clock;
  return clock->uptime_ms(clock->context);
}

aiot_message aiot_device_message(const aiot_device *device, aiot_encoding encoding) {
  aiot_message message = device->message;
  message.encoding = encoding;
  return message;
}

void aiot_device_topic(const aiot_device *device, const char *channel, char out[AIOT_TOPIC_BYTES]) {
  static const char root[] = "aiot/v1/";
  size_t at = 0;
  const char *const parts[] = {root, device->setup.name, "/", channel};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    for (const char *c = parts[i]; *c != '\0' && at < AIOT_TOPIC_BYTES - 1; c++) out[at++] = *c;
  }
  out[at] = '\0';
}

void aiot_device_send(aiot_device *device, const char *topic, const void *payload, size_t bytes) {
  if (bytes == 0 || !aiot_queue_push(&device->queue, topic, payload, bytes, false)) device->queue.dropped++;
}

void aiot_device_event(const aiot_device *device, const char *name, const char *member, size_t bytes) {
  const aiot_device_setup *setup = &device->setup;
  if (setup->event != NULL && bytes > 0) setup->event(setup->context, name, member, device->message.out, bytes);
}

static const char *const level_names[AIOT_LOG_LEVELS] = {"debug", "info", "warn", "error"};

const char *aiot_log_level_name(aiot_log_level level) { return level_names[level]; }

aiot_log_level aiot_log_level_of(const char *name) {
  int level = 0;
  while (level < AIOT_LOG_LEVELS && strcmp(level_names[level], name) != 0) level++;
  return (aiot_log_level)level;
}

void aiot_device_log(aiot_device *device, const char *level, const char *text, aiot_code code) {
  if (aiot_log_level_of(level) < device->log_level) return;
  if (device->setup.tail != NULL) aiot_tail_add(device->setup.tail, level, text);
  char topic[AIOT_TOPIC_BYTES];
  aiot_device_topic(device, "log", topic);
  aiot_message message = aiot_device_message(device, AIOT_ENCODING_JSON);
  size_t bytes = aiot_log_message(message, aiot_device_now(device), level, text, code);
  aiot_device_event(device, "log", NULL, bytes);
  if (device->setup.encoding != AIOT_ENCODING_JSON) {
    message.encoding = device->setup.encoding;
    bytes = aiot_log_message(message, aiot_device_now(device), level, text, code);
  }
  /* While the device is offline, the queue is reserved for samples, because old log lines are of no use later. */
  if (device->connection != 0) aiot_device_send(device, topic, message.out, bytes);
}
