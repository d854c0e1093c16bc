/* The two IMUs by their registers and FIFOs, as a bus sees them: facts of their data sheets, faults on demand. */
#ifndef AIOT_SIM_IMU_H
#define AIOT_SIM_IMU_H

#include "aiot/imu.h"

typedef struct {
  aiot_i2c port;
  aiot_imu_chip chip;
  uint8_t address;
  uint8_t reg[128];
  /* Bytes (MPU6050: 1024, oldest lost one by one) or words of 2 bytes (LSM6DS3TR-C: 2048, oldest lost by whole sets). */
  uint8_t fifo[4096];
  size_t first;
  size_t bytes;
  bool overran;
  /* Words of a set that were read: the pattern. */
  size_t pattern;
  uint32_t transactions;
  /* Nobody acknowledges this transaction, counted from 1; 0 = never. */
  uint32_t deaf_at;
  uint32_t waited_ms;
  /* Its accesses that data sheets forbid: more than the bus gives, an odd number of bytes, an empty FIFO's data. */
  uint32_t violations;
} sim_imu;

void sim_imu_power_on(sim_imu *sim, aiot_imu_chip chip);
bool sim_imu_running(const sim_imu *sim);
/* One sample: counts of ax ay az gx gy gz, of which the FIFO takes those that it is set to. */
void sim_imu_sample(sim_imu *sim, const int16_t counts[AIOT_IMU_FIELDS]);
/* Bytes at the end of the FIFO: half a set, as a chip gives while it writes. */
void sim_imu_byte(sim_imu *sim, uint8_t byte);

#endif
