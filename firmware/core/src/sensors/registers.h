/*
 * Access to an IMU's registers over its I2C bus, for the chips' drivers. Called on the thread that owns the sensor. No state is
 * stored.
 */
#ifndef AIOT_SENSORS_REGISTERS_H
#define AIOT_SENSORS_REGISTERS_H

#include "aiot/imu.h"

/* Maximum number of bytes per read. */
#define AIOT_IMU_BLOCK 240

/* Checks the identity register. ABSENT if nothing answers on the bus; OTHER if the register has a different value. */
aiot_sensor_code aiot_imu_expect(const aiot_imu *imu, uint8_t reg, uint8_t identity);
bool aiot_imu_write(const aiot_imu *imu, uint8_t reg, uint8_t value);
bool aiot_imu_bytes(const aiot_imu *imu, uint8_t reg, uint8_t *out, size_t bytes);
/* Two bytes as a two's complement number. */
int16_t aiot_imu_word(uint8_t high, uint8_t low);
/* Number of whole sample sets that fit into one bus read. */
size_t aiot_imu_sets(const aiot_imu *imu);

#endif
