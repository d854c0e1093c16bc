/*
 * What waits to be acknowledged by the broker: messages of QoS 1 in the order they were made, in memory that is given. While the line is
 * down the oldest make room for new ones, and are counted.
 */
#ifndef AIOT_QUEUE_H
#define AIOT_QUEUE_H

#include "aiot/ports.h"

typedef struct {
  uint8_t *memory;
  size_t bytes;
  size_t used;
  /* Messages that may be unacknowledged at a time (docs/protocol.md: 16 at most). */
  size_t window;
  size_t waiting;
  size_t sent;
  /* Never handed to the broker, since the start. */
  uint32_t dropped;
} aiot_queue;

void aiot_queue_init(aiot_queue *queue, void *memory, size_t bytes, size_t window);

/* Whether a message fits without another one being dropped. */
bool aiot_queue_fits(const aiot_queue *queue, const char *topic, size_t bytes);

/* Takes a copy; false when it is larger than the whole queue. */
bool aiot_queue_push(aiot_queue *queue, const char *topic, const void *payload, size_t bytes, bool retain);

/* Forgets what is acknowledged and hands over what the window lets. Whether nothing is left. */
bool aiot_queue_run(aiot_queue *queue, const aiot_mqtt *mqtt);

#endif
