/*
 * Source: InvenSense's register map, revision 4.2. The FIFO has no marks, so it is cleared whenever its sets may be misaligned.
 */
#include "chips.h"
#include "registers.h"

enum {
  SMPLRT_DIV = 0x19,
  CONFIG = 0x1a,
  GYRO_CONFIG = 0x1b,
  ACCEL_CONFIG = 0x1c,
  FIFO_EN = 0x23,
  USER_CTRL = 0x6a,
  PWR_MGMT_1 = 0x6b,
  PWR_MGMT_2 = 0x6c,
  FIFO_COUNTH = 0x72,
  FIFO_R_W = 0x74,
  WHO_AM_I = 0x75,
  IDENTITY = 0x68,
  FIFO_BYTES = 1024,
  /* Minimum free space, in sets. With less, the FIFO may overwrite data, which makes its contents unusable. */
  LEAST_ROOM = 3,
  /* Number of times that a count is read again if it is not a whole number of sets, because a set may be arriving. */
  MOST_LOOKS = 3
};

double aiot_mpu6050_celsius(int16_t raw) { return raw / 340.0 + 36.53; }

uint8_t aiot_mpu6050_filter(double rate_hz) {
  static const double least[] = {500, 200, 100, 42, 20};
  uint8_t code = 1;
  while (code < 6 && rate_hz < least[code - 1]) code++;
  return code;
}

/* FS_SEL and AFS_SEL: each code doubles the range. -1 = unsupported. */
static int range_code(int range, int first) {
  for (int code = 0; code < 4; code++) {
    if (range == first << code) return code;
  }
  return -1;
}

static double counts_a_dps(int code) {
  static const double counts[] = {131, 65.5, 32.8, 16.4};
  return counts[code];
}

static bool start_fifo(aiot_imu *imu) {
  const bool started = aiot_imu_write(imu, FIFO_EN, 0x00) && aiot_imu_write(imu, USER_CTRL, 0x04) &&
                       aiot_imu_write(imu, USER_CTRL, 0x40) && aiot_imu_write(imu, FIFO_EN, imu->fields == 3 ? 0x08 : 0x78);
  imu->uncertain = !started;
  return started;
}

static bool reset(aiot_imu *imu) {
  const aiot_i2c *bus = imu->setup.bus;
  if (!aiot_imu_write(imu, PWR_MGMT_1, 0x80)) return false;
  bus->wait_ms(bus->context, 100);
  /* Wakes the chip and selects the gyroscope's clock, which is more accurate than the internal clock. */
  if (!aiot_imu_write(imu, PWR_MGMT_1, 0x01)) return false;
  bus->wait_ms(bus->context, 100);
  uint8_t state = 0;
  return aiot_imu_bytes(imu, PWR_MGMT_1, &state, 1) && state == 0x01;
}

aiot_sensor_code aiot_mpu6050_open(aiot_imu *imu) {
  const aiot_imu_setup *setup = &imu->setup;
  const int accelerometer = range_code(setup->range_g, 2);
  const int gyroscope = setup->range_dps == 0 ? 0 : range_code(setup->range_dps, 250);
  if (accelerometer < 0 || gyroscope < 0 || !(setup->rate_hz >= 4) || setup->rate_hz > 1000) return AIOT_SENSOR_SETTING;
  const int divider = (int)(1000 / setup->rate_hz + 0.5);
  const double error = 1000.0 / divider - setup->rate_hz;
  if (error > 1e-9 || error < -1e-9) return AIOT_SENSOR_SETTING;
  imu->acceleration_per_count = setup->range_g / 32768.0 * setup->per_g;
  imu->dps_per_count = 1 / counts_a_dps(gyroscope);
  const aiot_sensor_code found = aiot_imu_expect(imu, WHO_AM_I, IDENTITY);
  if (found != AIOT_SENSOR_OK) return found;
  const bool started = reset(imu) && aiot_imu_write(imu, FIFO_EN, 0x00) && aiot_imu_write(imu, SMPLRT_DIV, (uint8_t)(divider - 1)) &&
                       aiot_imu_write(imu, CONFIG, aiot_mpu6050_filter(setup->rate_hz)) &&
                       aiot_imu_write(imu, GYRO_CONFIG, (uint8_t)(gyroscope << 3)) &&
                       aiot_imu_write(imu, ACCEL_CONFIG, (uint8_t)(accelerometer << 3)) &&
                       /* An unused gyroscope still provides the clock, so its x axis stays on. */
                       aiot_imu_write(imu, PWR_MGMT_2, setup->range_dps == 0 ? 0x03 : 0x00) && start_fifo(imu);
  return started ? AIOT_SENSOR_OK : AIOT_SENSOR_FAILED;
}

/* Discards the FIFO's contents. */
static aiot_sensor_code clear(aiot_imu *imu) {
  imu->uncertain = true;
  imu->cleared = true;
  return start_fifo(imu) ? AIOT_SENSOR_OK : AIOT_SENSOR_FAILED;
}

/* Number of bytes in the FIFO. Reading the high byte first latches the low one. */
static bool count_bytes(const aiot_imu *imu, size_t *bytes) {
  uint8_t count[2];
  if (!aiot_imu_bytes(imu, FIFO_COUNTH, count, 2)) return false;
  *bytes = (size_t)count[0] << 8 | count[1];
  return true;
}

static void decode(const aiot_imu *imu, const uint8_t *block, size_t sets, double *values, aiot_imu_reading *reading) {
  for (size_t i = 0; i < sets * imu->fields; i++) {
    const int16_t raw = aiot_imu_word(block[2 * i], block[2 * i + 1]);
    if (raw == INT16_MAX || raw == INT16_MIN) reading->saturated++;
    values[i] = raw * (i % imu->fields < 3 ? imu->acceleration_per_count : imu->dps_per_count);
  }
}

static bool take(aiot_imu *imu, size_t sets, double *values, aiot_imu_reading *reading) {
  const size_t most = aiot_imu_sets(imu);
  uint8_t block[AIOT_IMU_BLOCK];
  while (reading->count < sets) {
    const size_t part = sets - reading->count < most ? sets - reading->count : most;
    if (!aiot_imu_bytes(imu, FIFO_R_W, block, part * 2 * imu->fields)) return false;
    decode(imu, block, part, values + reading->count * imu->fields, reading);
    reading->count += part;
  }
  return true;
}

aiot_sensor_code aiot_mpu6050_read(aiot_imu *imu, double *values, size_t room, aiot_imu_reading *reading) {
  const aiot_i2c *bus = imu->setup.bus;
  const size_t set = 2 * imu->fields;
  if (imu->uncertain) return clear(imu);
  imu->uncertain = true;
  size_t bytes = 0;
  bool counted = count_bytes(imu, &bytes);
  for (int look = 0; counted && bytes % set != 0 && look < MOST_LOOKS; look++) {
    bus->wait_ms(bus->context, 1);
    counted = count_bytes(imu, &bytes);
  }
  if (!counted) return AIOT_SENSOR_FAILED;
  reading->overrun = bytes > FIFO_BYTES - LEAST_ROOM * set;
  if (reading->overrun || bytes % set != 0) return clear(imu);
  const size_t sets = bytes / set < room ? bytes / set : room;
  imu->uncertain = !take(imu, sets, values, reading);
  reading->broken = imu->cleared && reading->count > 0;
  if (reading->count > 0) imu->cleared = false;
  return imu->uncertain ? AIOT_SENSOR_FAILED : AIOT_SENSOR_OK;
}

void aiot_mpu6050_close(aiot_imu *imu) {
  aiot_imu_write(imu, FIFO_EN, 0x00);
  aiot_imu_write(imu, PWR_MGMT_1, 0x41);
}
