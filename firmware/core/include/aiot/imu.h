/*
 * Accelerometers with gyroscopes on I2C: MPU6050 and LSM6DS3TR-C, with the rules of
 * src/lib/sensor/i2c/chips. Samples are read through the hardware FIFO, so a late reader loses none. Nothing is allocated; a reading takes
 * a few bus transactions.
 */
#ifndef AIOT_IMU_H
#define AIOT_IMU_H

#include "aiot/bus.h"

/* Fields: ax, ay, az (g, or the unit of `per_g`), gx, gy, gz (dps). */
#define AIOT_IMU_FIELDS 6

typedef enum { AIOT_MPU6050, AIOT_LSM6DS3TRC } aiot_imu_chip;

typedef struct {
  aiot_imu_chip chip;
  const aiot_i2c *bus;
  /* MPU6050: 0x68, or 0x69 with AD0 high. LSM6DS3TR-C: 0x6A, or 0x6B with SA0 high. */
  uint8_t address;
  /* Rate. MPU6050: 1000 divided by a whole number, 4 to 1000. LSM6DS3TR-C: 12.5, 26, 52, 104, 208, 416, 833, 1666, 3332, 6664. */
  double rate_hz;
  /* Range of the accelerometer: 2, 4, 8 or 16. */
  int range_g;
  /* Range of the gyroscope: 250, 500, 1000 or 2000; 125 only with the LSM6DS3TR-C. 0 = off; a sample then has three fields. */
  int range_dps;
  /* Size of 1 g in the unit of ax, ay and az: 1 for g, 9.80665 for m/s². */
  double per_g;
} aiot_imu_setup;

typedef struct {
  aiot_imu_setup setup;
  size_t fields;
  /* Unit of ax, ay and az per count of the chip. */
  double acceleration_per_count;
  double dps_per_count;
  /* Whether a transaction was aborted, so that the number of samples read is unknown. */
  bool uncertain;
  /* Whether the FIFO was cleared and no samples have arrived since. */
  bool cleared;
  /* Maximum number of samples that may still be discarded because the filters have not settled. */
  uint32_t settling;
} aiot_imu;

typedef struct {
  size_t count;
  /* Whether samples are missing before the first one. */
  bool broken;
  /* Whether the FIFO has overflowed since the last reading. */
  bool overrun;
  /* Number of values at either limit of the range. */
  size_t saturated;
} aiot_imu_reading;

/* Finds the chip, resets it and starts its FIFO. Errors: SETTING, ABSENT, OTHER, FAILED. */
aiot_sensor_code aiot_imu_open(aiot_imu *imu, const aiot_imu_setup *setup);

/*
 * Reads up to `room` samples from the FIFO; the others stay there. `values` has space for `room` samples of `fields` values each. If
 * an MPU6050's FIFO is misaligned or nearly full, it is cleared without reading, and the next
 * sample is marked as following a gap. FAILED: the samples counted in `reading` were read before
 * the failure.
 */
aiot_sensor_code aiot_imu_read(aiot_imu *imu, double *values, size_t room, aiot_imu_reading *reading);

/* Puts the chip into sleep mode. */
void aiot_imu_close(aiot_imu *imu);

/* Degrees Celsius from the register values of the chip's own thermometer. */
double aiot_mpu6050_celsius(int16_t raw);
double aiot_lsm6ds3trc_celsius(int16_t raw);

/* MPU6050: DLPF_CFG with a bandwidth below half of the rate. */
uint8_t aiot_mpu6050_filter(double rate_hz);

/* LSM6DS3TR-C: CTRL1_XL and CTRL2_G; 0 for unsupported values. 104 Hz at 4 g is 0x48. */
uint8_t aiot_lsm6ds3trc_ctrl1(double rate_hz, int range_g);
uint8_t aiot_lsm6ds3trc_ctrl2(double rate_hz, int range_dps);

typedef struct {
  /* Number of unread words; also 0 after an overrun. */
  uint16_t words;
  bool overrun;
  bool empty;
  /* Index of the next word within its set. */
  uint16_t pattern;
} aiot_lsm6ds3trc_fifo;

/* Parses FIFO_STATUS1 to 4. */
aiot_lsm6ds3trc_fifo aiot_lsm6ds3trc_status(const uint8_t bytes[4]);

#endif
