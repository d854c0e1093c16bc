#ifndef AIOT_DECLARED_FREERTOS_FREERTOS_H
#define AIOT_DECLARED_FREERTOS_FREERTOS_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t TickType_t;
typedef int BaseType_t;
typedef unsigned UBaseType_t;
typedef struct {
  uint32_t owner;
  uint32_t count;
} portMUX_TYPE;

/* Has the layout of a task control block; ucDummy7 is its name. */
typedef struct {
  uint32_t dummy[13];
  uint8_t ucDummy7[16];
} StaticTask_t;

#define pdTRUE 1
#define pdPASS 1
#define portMAX_DELAY 0xffffffffu
/* One tick per millisecond, as configured in the sources. */
#define pdMS_TO_TICKS(ms) ((TickType_t)(ms))
#define portMUX_INITIALIZER_UNLOCKED {0, 0}
#define portENTER_CRITICAL(mux) vPortEnterCritical(mux)
#define portEXIT_CRITICAL(mux) vPortExitCritical(mux)

void vPortEnterCritical(portMUX_TYPE *mux);
void vPortExitCritical(portMUX_TYPE *mux);

#endif
