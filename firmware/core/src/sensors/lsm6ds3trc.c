/*
 * Sources: ST's data sheet DocID030071 and application note AN5130. The FIFO has 2048 words, in sets. The chip reports the
 * position within a set.
 */
#include "chips.h"
#include "registers.h"

enum {
  FIFO_CTRL1 = 0x06,
  FIFO_CTRL2 = 0x07,
  FIFO_CTRL3 = 0x08,
  FIFO_CTRL4 = 0x09,
  FIFO_CTRL5 = 0x0a,
  WHO_AM_I = 0x0f,
  CTRL1_XL = 0x10,
  CTRL2_G = 0x11,
  CTRL3_C = 0x12,
  CTRL4_C = 0x13,
  FIFO_STATUS1 = 0x3a,
  FIFO_DATA_OUT_L = 0x3e,
  IDENTITY = 0x6a,
  /* FIFO mode in which new samples overwrite the oldest ones. */
  CONTINUOUS = 6,
  /* Words from this value on are at the limit of the range, or mean that a filter has not settled (DRDY_MASK). */
  FIRST_UNSETTLED = 0x7ffd,
  /* Number of attempts to make room after an overrun. After that, the FIFO is cleared. */
  MOST_ROUNDS = 8
};

double aiot_lsm6ds3trc_celsius(int16_t raw) { return raw / 256.0 + 25; }

/* Code of a rate in ODR_XL, ODR_G and ODR_FIFO; 0 = unsupported. */
static uint8_t rate_code(double rate_hz) {
  static const double rates[] = {12.5, 26, 52, 104, 208, 416, 833, 1666, 3332, 6664};
  for (uint8_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
    const double error = rate_hz - rates[i];
    if (error < 1e-9 && error > -1e-9) return (uint8_t)(i + 1);
  }
  return 0;
}

uint8_t aiot_lsm6ds3trc_ctrl1(double rate_hz, int range_g) {
  /* The codes are not in ascending order of the ranges (data sheet, table 52). */
  static const int ranges[] = {2, 16, 4, 8};
  for (uint8_t code = 0; code < 4; code++) {
    if (ranges[code] == range_g && rate_code(rate_hz) != 0) return (uint8_t)(rate_code(rate_hz) << 4 | code << 2);
  }
  return 0;
}

uint8_t aiot_lsm6ds3trc_ctrl2(double rate_hz, int range_dps) {
  const uint8_t rate = (uint8_t)(rate_code(rate_hz) << 4);
  if (rate == 0) return 0;
  if (range_dps == 125) return (uint8_t)(rate | 2u);
  for (int code = 0; code < 4; code++) {
    if (range_dps == 250 << code) return (uint8_t)(rate | code << 2);
  }
  return 0;
}

aiot_lsm6ds3trc_fifo aiot_lsm6ds3trc_status(const uint8_t bytes[4]) {
  const uint16_t words = (uint16_t)(bytes[0] | (bytes[1] & 7) << 8);
  const bool empty = (bytes[1] & 0x10) != 0;
  return (aiot_lsm6ds3trc_fifo){
      .words = words,
      /* After an overrun, the count is 0 although the FIFO is not empty. */
      .overrun = (bytes[1] & 0x40) != 0 || (words == 0 && !empty),
      .empty = empty,
      .pattern = (uint16_t)(bytes[2] | (bytes[3] & 3) << 8),
  };
}

static bool reset(aiot_imu *imu) {
  const aiot_i2c *bus = imu->setup.bus;
  /* Follows ST's sequence: gyroscope off, accelerometer in high performance, then the reset. */
  if (!aiot_imu_write(imu, CTRL2_G, 0x00) || !aiot_imu_write(imu, CTRL1_XL, 0x60) || !aiot_imu_write(imu, CTRL3_C, 0x01)) return false;
  for (int tries = 0; tries < 10; tries++) {
    uint8_t state = 1;
    bus->wait_ms(bus->context, 1);
    if (!aiot_imu_bytes(imu, CTRL3_C, &state, 1)) return false;
    if ((state & 1) == 0) return true;
  }
  return false;
}

/* Starts the FIFO, after clearing it with bypass mode. */
static bool start_fifo(aiot_imu *imu) {
  /* Number of samples in half a second. A gyroscope takes 70 ms and a few samples to settle. */
  imu->settling = (uint32_t)(imu->setup.rate_hz / 2) + 1;
  return aiot_imu_write(imu, FIFO_CTRL5, 0x00) && aiot_imu_write(imu, FIFO_CTRL5, (uint8_t)(rate_code(imu->setup.rate_hz) << 3 | CONTINUOUS));
}

aiot_sensor_code aiot_lsm6ds3trc_open(aiot_imu *imu) {
  const aiot_imu_setup *setup = &imu->setup;
  const uint8_t ctrl1 = aiot_lsm6ds3trc_ctrl1(setup->rate_hz, setup->range_g);
  const uint8_t ctrl2 = setup->range_dps == 0 ? 0 : aiot_lsm6ds3trc_ctrl2(setup->rate_hz, setup->range_dps);
  if (ctrl1 == 0 || (ctrl2 == 0 && setup->range_dps != 0)) return AIOT_SENSOR_SETTING;
  imu->acceleration_per_count = setup->range_g / 2 * 0.061e-3 * setup->per_g;
  imu->dps_per_count = setup->range_dps / 125 * 4.375e-3;
  const aiot_sensor_code found = aiot_imu_expect(imu, WHO_AM_I, IDENTITY);
  if (found != AIOT_SENSOR_OK) return found;
  const bool started = reset(imu) && aiot_imu_write(imu, CTRL3_C, 0x44) && aiot_imu_write(imu, FIFO_CTRL5, 0x00) &&
                       aiot_imu_write(imu, CTRL4_C, 0x08) && aiot_imu_write(imu, FIFO_CTRL1, 0x00) && aiot_imu_write(imu, FIFO_CTRL2, 0x00) &&
                       aiot_imu_write(imu, FIFO_CTRL3, setup->range_dps == 0 ? 0x01 : 0x09) && aiot_imu_write(imu, FIFO_CTRL4, 0x00) &&
                       aiot_imu_write(imu, CTRL1_XL, ctrl1) && aiot_imu_write(imu, CTRL2_G, ctrl2) && start_fifo(imu);
  return started ? AIOT_SENSOR_OK : AIOT_SENSOR_FAILED;
}

static bool look(const aiot_imu *imu, aiot_lsm6ds3trc_fifo *fifo) {
  uint8_t bytes[4];
  if (!aiot_imu_bytes(imu, FIFO_STATUS1, bytes, sizeof bytes)) return false;
  *fifo = aiot_lsm6ds3trc_status(bytes);
  return true;
}

static bool discard(const aiot_imu *imu, size_t words) {
  uint8_t block[AIOT_IMU_BLOCK];
  const size_t most = aiot_imu_sets(imu) * imu->fields;
  for (size_t part; words > 0; words -= part) {
    part = words < most ? words : most;
    if (!aiot_imu_bytes(imu, FIFO_DATA_OUT_L, block, 2 * part)) return false;
  }
  return true;
}

static bool unsettled(const aiot_imu *imu, const uint8_t *set) {
  for (size_t word = 0; word < imu->fields; word++) {
    if (aiot_imu_word(set[2 * word + 1], set[2 * word]) >= FIRST_UNSETTLED) return true;
  }
  return false;
}

/* Decodes a set: Gx Gy Gz Ax Ay Az, low bytes first. */
static void decode(const aiot_imu *imu, const uint8_t *set, double *values, aiot_imu_reading *reading) {
  const size_t turn = imu->fields - 3;
  for (size_t word = 0; word < imu->fields; word++) {
    const int16_t raw = aiot_imu_word(set[2 * word + 1], set[2 * word]);
    if (raw >= FIRST_UNSETTLED || raw <= -32767) reading->saturated++;
    const bool rotation = word < turn;
    values[rotation ? word + 3 : word - turn] = raw * (rotation ? imu->dps_per_count : imu->acceleration_per_count);
  }
}

/* Whether the sample is used. The very first sample is dropped, and then those that the chip marks as unsettled. */
static bool settled(aiot_imu *imu, const uint8_t *set) {
  if (imu->settling == 0) return true;
  const bool first = imu->settling == (uint32_t)(imu->setup.rate_hz / 2) + 1;
  imu->settling--;
  if (first || (unsettled(imu, set) && imu->settling > 0)) return false;
  imu->settling = 0;
  return true;
}

static bool take(aiot_imu *imu, size_t sets, double *values, aiot_imu_reading *reading) {
  const size_t most = aiot_imu_sets(imu), bytes = 2 * imu->fields;
  uint8_t block[AIOT_IMU_BLOCK];
  for (size_t part; sets > 0; sets -= part) {
    part = sets < most ? sets : most;
    if (!aiot_imu_bytes(imu, FIFO_DATA_OUT_L, block, part * bytes)) return false;
    for (size_t i = 0; i < part; i++) {
      if (settled(imu, block + i * bytes)) decode(imu, block + i * bytes, values + reading->count++ * imu->fields, reading);
    }
  }
  return true;
}

/* Discards data that may have been overwritten while it was read. It is read only to make room. */
static bool make_room(aiot_imu *imu, aiot_lsm6ds3trc_fifo *fifo) {
  for (int round = 0; fifo->overrun && round < MOST_ROUNDS; round++) {
    const size_t rest = (imu->fields - fifo->pattern % imu->fields) % imu->fields;
    if (!discard(imu, rest + aiot_imu_sets(imu) * imu->fields) || !look(imu, fifo)) return false;
  }
  if (!fifo->overrun) return true;
  *fifo = (aiot_lsm6ds3trc_fifo){0};
  return start_fifo(imu);
}

aiot_sensor_code aiot_lsm6ds3trc_read(aiot_imu *imu, double *values, size_t room, aiot_imu_reading *reading) {
  aiot_lsm6ds3trc_fifo fifo;
  imu->cleared = imu->cleared || imu->uncertain;
  imu->uncertain = true;
  if (!look(imu, &fifo)) return AIOT_SENSOR_FAILED;
  reading->overrun = fifo.overrun;
  imu->cleared = imu->cleared || fifo.overrun;
  if (!make_room(imu, &fifo)) return AIOT_SENSOR_FAILED;
  size_t words = fifo.words;
  if (fifo.pattern != 0 && words > 0) {
    size_t skip = (imu->fields - fifo.pattern % imu->fields) % imu->fields;
    if (skip > words) skip = words;
    imu->cleared = true;
    if (!discard(imu, skip)) return AIOT_SENSOR_FAILED;
    words -= skip;
  }
  const size_t sets = words / imu->fields < room ? words / imu->fields : room;
  imu->uncertain = !take(imu, sets, values, reading);
  reading->broken = imu->cleared && reading->count > 0;
  if (reading->count > 0) imu->cleared = false;
  return imu->uncertain ? AIOT_SENSOR_FAILED : AIOT_SENSOR_OK;
}

void aiot_lsm6ds3trc_close(aiot_imu *imu) {
  aiot_imu_write(imu, FIFO_CTRL5, 0x00);
  aiot_imu_write(imu, CTRL2_G, 0x00);
  aiot_imu_write(imu, CTRL1_XL, 0x00);
}
