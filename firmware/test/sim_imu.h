/*
 * Simulates the registers and FIFOs of the two IMUs, as they are accessed over the bus, with values from their data sheets and
 * faults on demand.
 */
#ifndef AIOT_SIM_IMU_H
#define AIOT_SIM_IMU_H

#include "aiot/imu.h"

typedef struct {
  aiot_i2c port;
  aiot_imu_chip chip;
  uint8_t address;
  uint8_t reg[128];
  /*
   * The unit is a byte on the MPU6050 (1024 of them; a full FIFO loses its oldest byte), and a word of 2 bytes on the LSM6DS3TR-C
   * (2048 of them; a full FIFO loses its oldest set).
   */
  uint8_t fifo[4096];
  size_t first;
  size_t bytes;
  bool overran;
  /* Number of words of the current set that have been read: the pattern. */
  size_t pattern;
  uint32_t transactions;
  /* Number of the transaction that is not acknowledged, counted from 1; 0 = none. */
  uint32_t deaf_at;
  uint32_t waited_ms;
  /*
   * Number of accesses that the data sheets forbid: reading more bytes than available, an odd number of bytes, or an empty FIFO.
   */
  uint32_t violations;
} sim_imu;

void sim_imu_power_on(sim_imu *sim, aiot_imu_chip chip);
bool sim_imu_running(const sim_imu *sim);
/* Adds one sample: counts of ax ay az gx gy gz. The FIFO stores those that are enabled. */
void sim_imu_sample(sim_imu *sim, const int16_t counts[AIOT_IMU_FIELDS]);
/* Adds a byte at the end of the FIFO, as if the chip were still writing a set. */
void sim_imu_byte(sim_imu *sim, uint8_t byte);

#endif
