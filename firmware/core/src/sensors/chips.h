/*
 * The drivers of the two IMUs (mpu6050.c, lsm6ds3trc.c), for imu.c, which selects the driver. Each keeps its state in the aiot_imu that is
 * passed to it.
 */
#ifndef AIOT_SENSORS_CHIPS_H
#define AIOT_SENSORS_CHIPS_H

#include "aiot/imu.h"

aiot_sensor_code aiot_mpu6050_open(aiot_imu *imu);
aiot_sensor_code aiot_mpu6050_read(aiot_imu *imu, double *values, size_t room, aiot_imu_reading *reading);
void aiot_mpu6050_close(aiot_imu *imu);

aiot_sensor_code aiot_lsm6ds3trc_open(aiot_imu *imu);
aiot_sensor_code aiot_lsm6ds3trc_read(aiot_imu *imu, double *values, size_t room, aiot_imu_reading *reading);
void aiot_lsm6ds3trc_close(aiot_imu *imu);

#endif
