/* Reads the selected source in a separate task, so that neither a handshake nor an inference delays it. */
#include <stdatomic.h>
#include <string.h>

#include "esp32.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "settings.h"

/*
 * DEPTH: rows for more than a second of an IMU's samples, or for three seconds of slower sensors. STACK: 5,324 bytes were used
 * with an ADC; a fifth is added as a reserve.
 */
enum { FIELDS = AIOT_SOURCE_FIELDS, ROOM = AIOT_SOURCE_FAST ? 32 : 1, DEPTH = AIOT_SOURCE_FAST ? 128 : 32, STACK = 6400, AGAIN_MS = 5000 };

typedef struct {
  double value[FIELDS];
  bool gap;
} row;

static QueueHandle_t rows;
static atomic_uint lost;
static const aiot_esp32_source *chosen;

const aiot_esp32_source *aiot_esp32_source_chosen(void) {
  switch (AIOT_SOURCE) {
    case AIOT_SOURCE_MPU6050:
    case AIOT_SOURCE_LSM6DS3TRC: return aiot_esp32_source_imu();
    case AIOT_SOURCE_DS18B20: return aiot_esp32_source_thermometer();
    case AIOT_SOURCE_ACS712: return aiot_esp32_source_acs712();
    case AIOT_SOURCE_INMP441: return aiot_esp32_source_microphone();
    case AIOT_SOURCE_SOUND: return aiot_esp32_source_sound();
    case AIOT_SOURCE_OV2640: return aiot_esp32_source_camera();
    default: return aiot_esp32_source_guide();
  }
}

static void sample(void *context) {
  (void)context;
  static double values[ROOM * FIELDS];
  static row next;
  bool gap = true;
  for (;;) {
    if (chosen->open() != AIOT_SENSOR_OK) {
      vTaskDelay(pdMS_TO_TICKS(AGAIN_MS));
      continue;
    }
    for (int count = 0; count >= 0;) {
      count = chosen->read(values, ROOM, &gap);
      for (int i = 0; i < count; i++) {
        memcpy(next.value, values + (size_t)i * chosen->fields, chosen->fields * sizeof values[0]);
        next.gap = gap;
        gap = xQueueSend(rows, &next, 0) != pdTRUE;
        if (gap) atomic_fetch_add(&lost, 1);
      }
    }
    gap = true;
  }
}

bool aiot_esp32_sampler_start(const aiot_esp32_source *source) {
  /* The queue is static, so that it does not depend on a fragmented heap. */
  static uint8_t room[DEPTH * sizeof(row)];
  static StaticQueue_t queue;
  if (source->fields > FIELDS) return false;
  chosen = source;
  rows = xQueueCreateStatic(DEPTH, sizeof(row), room, &queue);
  return rows != NULL && xTaskCreate(sample, "aiot-sample", STACK, NULL, 6, NULL) == pdPASS;
}

bool aiot_esp32_sampler_take(double *values, bool *gap) {
  static row next;
  if (AIOT_SOURCE == AIOT_SOURCE_SOUND) return aiot_esp32_sound_take(values, gap);
  *gap = false;
  if (AIOT_SOURCE == AIOT_SOURCE_OV2640) return aiot_esp32_camera_take(values);
  if (xQueueReceive(rows, &next, 0) != pdTRUE) return false;
  memcpy(values, next.value, chosen->fields * sizeof next.value[0]);
  *gap = next.gap;
  return true;
}

uint32_t aiot_esp32_sampler_lost(void) { return AIOT_SOURCE == AIOT_SOURCE_SOUND ? aiot_esp32_sound_lost() : atomic_load(&lost); }
