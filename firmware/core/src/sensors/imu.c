/* Implements `aiot/imu.h` with the driver of the chip in the setup. */
#include <string.h>

#include "chips.h"

aiot_sensor_code aiot_imu_open(aiot_imu *imu, const aiot_imu_setup *setup) {
  memset(imu, 0, sizeof *imu);
  imu->setup = *setup;
  imu->fields = setup->range_dps == 0 ? 3 : AIOT_IMU_FIELDS;
  return setup->chip == AIOT_MPU6050 ? aiot_mpu6050_open(imu) : aiot_lsm6ds3trc_open(imu);
}

aiot_sensor_code aiot_imu_read(aiot_imu *imu, double *values, size_t room, aiot_imu_reading *reading) {
  memset(reading, 0, sizeof *reading);
  if (imu->setup.chip == AIOT_MPU6050) return aiot_mpu6050_read(imu, values, room, reading);
  return aiot_lsm6ds3trc_read(imu, values, room, reading);
}

void aiot_imu_close(aiot_imu *imu) {
  if (imu->setup.chip == AIOT_MPU6050) aiot_mpu6050_close(imu);
  else aiot_lsm6ds3trc_close(imu);
}
