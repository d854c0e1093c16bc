#ifndef AIOT_DECLARED_FREERTOS_QUEUE_H
#define AIOT_DECLARED_FREERTOS_QUEUE_H

#include "freertos/FreeRTOS.h"

typedef struct QueueDefinition *QueueHandle_t;

/* In the vendor's header, this struct has the size of a queue's own state. */
typedef struct {
  uint32_t state[20];
} StaticQueue_t;

QueueHandle_t xQueueCreate(UBaseType_t length, UBaseType_t bytes);
QueueHandle_t xQueueCreateStatic(UBaseType_t length, UBaseType_t bytes, uint8_t *room, StaticQueue_t *queue);
BaseType_t xQueueSend(QueueHandle_t queue, const void *item, TickType_t ticks);
BaseType_t xQueueOverwrite(QueueHandle_t queue, const void *item);
BaseType_t xQueueReceive(QueueHandle_t queue, void *item, TickType_t ticks);
UBaseType_t uxQueueSpacesAvailable(QueueHandle_t queue);

#endif
