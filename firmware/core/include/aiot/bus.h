/*
 * Sensor buses, as function tables like those in ports.h. hal/esp32 implements them for the chip's pins; the tests simulate
 * sensors. Every function receives its table's `context`, and returns false if there is no acknowledgment or the bus is stuck.
 */
#ifndef AIOT_BUS_H
#define AIOT_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An I2C bus. `address` has 7 bits. */
typedef struct {
  void *context;
  /*
   * Writes the register number, then reads `bytes` (at most `longest`) after a repeated start.
   */
  bool (*read)(void *context, uint8_t address, uint8_t reg, uint8_t *out, size_t bytes);
  bool (*write)(void *context, uint8_t address, uint8_t reg, uint8_t value);
  /* Waits while a sensor starts or converts. */
  void (*wait_ms)(void *context, uint32_t ms);
  size_t longest;
} aiot_i2c;

/* A 1-Wire bus. Each call takes one time slot. */
typedef struct {
  void *context;
  /* Sends a reset pulse. True if a device answered with a presence pulse. */
  bool (*reset)(void *context);
  void (*write_bit)(void *context, bool bit);
  bool (*read_bit)(void *context);
  void (*wait_ms)(void *context, uint32_t ms);
} aiot_wire;

/* Result of opening or reading a sensor. */
typedef enum {
  AIOT_SENSOR_OK,
  /* The sensor does not support this rate or range. */
  AIOT_SENSOR_SETTING,
  /* No device answers at this address. */
  AIOT_SENSOR_ABSENT,
  /* A chip of another kind answers at this address. */
  AIOT_SENSOR_OTHER,
  /* The device responded incorrectly; the next reading may succeed. */
  AIOT_SENSOR_FAILED
} aiot_sensor_code;

#endif
