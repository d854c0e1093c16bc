/*
 * Messages that wait for the broker's acknowledgment: QoS 1, in order of creation, in memory that the caller provides. While
 * there is no connection, the oldest messages are dropped to make room for new ones. Dropped messages are counted.
 */
#ifndef AIOT_QUEUE_H
#define AIOT_QUEUE_H

#include "aiot/ports.h"

typedef struct {
  uint8_t *memory;
  size_t bytes;
  size_t used;
  /* Maximum number of unacknowledged messages (docs/reference/protocol.md: 16 at most). */
  size_t window;
  size_t waiting;
  size_t sent;
  /* Number of messages that have been dropped before they reached the broker, since boot. */
  uint32_t dropped;
} aiot_queue;

void aiot_queue_init(aiot_queue *queue, void *memory, size_t bytes, size_t window);

/* Whether a message fits without another being dropped. */
bool aiot_queue_fits(const aiot_queue *queue, const char *topic, size_t bytes);

/* Stores a copy of the message; false if it is larger than the whole queue. */
bool aiot_queue_push(aiot_queue *queue, const char *topic, const void *payload, size_t bytes, bool retain);

/* Removes acknowledged messages and sends as many as `window` allows. True if the queue is then empty. */
bool aiot_queue_run(aiot_queue *queue, const aiot_mqtt *mqtt);

#endif
