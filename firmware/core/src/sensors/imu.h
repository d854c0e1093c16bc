/* What the chips' drivers share. */
#ifndef AIOT_SENSORS_IMU_H
#define AIOT_SENSORS_IMU_H

#include "aiot/imu.h"

aiot_sensor_code aiot_mpu6050_open(aiot_imu *imu);
aiot_sensor_code aiot_mpu6050_read(aiot_imu *imu, double *values, size_t room, aiot_imu_reading *reading);
void aiot_mpu6050_close(aiot_imu *imu);

aiot_sensor_code aiot_lsm6ds3trc_open(aiot_imu *imu);
aiot_sensor_code aiot_lsm6ds3trc_read(aiot_imu *imu, double *values, size_t room, aiot_imu_reading *reading);
void aiot_lsm6ds3trc_close(aiot_imu *imu);

/* ABSENT or OTHER where the register does not say who it is. */
aiot_sensor_code aiot_imu_expect(const aiot_imu *imu, uint8_t reg, uint8_t identity);
bool aiot_imu_write(const aiot_imu *imu, uint8_t reg, uint8_t value);
bool aiot_imu_bytes(const aiot_imu *imu, uint8_t reg, uint8_t *out, size_t bytes);
/* As a two's complement number. */
int16_t aiot_imu_word(uint8_t high, uint8_t low);

/* Longest block that is read at a time. */
#define AIOT_IMU_BLOCK 240
/* Whole sets that one read of the bus may have. */
size_t aiot_imu_sets(const aiot_imu *imu);

#endif
