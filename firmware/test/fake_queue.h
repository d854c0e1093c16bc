/*
 * Simulated FreeRTOS queues. They never block, because there are no tasks. The test that includes this header creates the queues.
 */
#ifndef AIOT_TEST_FAKE_QUEUE_H
#define AIOT_TEST_FAKE_QUEUE_H

#include <stdint.h>
#include <string.h>

#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"

struct QueueDefinition {
  size_t length, bytes, first, count;
  uint8_t *items;
};

BaseType_t xQueueSend(QueueHandle_t queue, const void *item, TickType_t ticks) {
  (void)ticks;
  if (queue->count == queue->length) return 0;
  memcpy(queue->items + (queue->first + queue->count++) % queue->length * queue->bytes, item, queue->bytes);
  return pdTRUE;
}

BaseType_t xQueueReceive(QueueHandle_t queue, void *item, TickType_t ticks) {
  (void)ticks;
  if (queue->count == 0) return 0;
  memcpy(item, queue->items + queue->first * queue->bytes, queue->bytes);
  queue->first = (queue->first + 1) % queue->length;
  queue->count--;
  return pdTRUE;
}

UBaseType_t uxQueueSpacesAvailable(QueueHandle_t queue) { return (UBaseType_t)(queue->length - queue->count); }

#endif
