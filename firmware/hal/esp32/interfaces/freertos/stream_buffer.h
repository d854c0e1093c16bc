#ifndef AIOT_DECLARED_FREERTOS_STREAM_BUFFER_H
#define AIOT_DECLARED_FREERTOS_STREAM_BUFFER_H

#include "freertos/FreeRTOS.h"

typedef struct StreamBufferDef_t *StreamBufferHandle_t;

StreamBufferHandle_t xStreamBufferCreate(size_t bytes, size_t trigger);
size_t xStreamBufferSend(StreamBufferHandle_t buffer, const void *data, size_t bytes, TickType_t ticks);
size_t xStreamBufferReceive(StreamBufferHandle_t buffer, void *out, size_t bytes, TickType_t ticks);
BaseType_t xStreamBufferReset(StreamBufferHandle_t buffer);

#endif
