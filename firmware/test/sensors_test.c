/* Tests sensor drivers against golden values, and on simulated chips that lose, misalign and reject data. */
#include "aiot/imu.h"
#include "aiot/sensors.h"

#include <math.h>
#include <string.h>

#include "check.h"
#include "sensors.inc"
#include "sim_imu.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void near(checks *c, const char *what, size_t row, double expected, double got, double within) {
  if (!check_at(c, what, "row", row, fabs(expected - got) <= within)) printf("  expected %g, got %g\n", expected, got);
}

static aiot_imu_setup setup_of(sim_imu *sim, double rate_hz, int range_g, int range_dps) {
  return (aiot_imu_setup){sim->chip, &sim->port, sim->address, rate_hz, range_g, range_dps, 1};
}

static void test_mpu6050_values(checks *c) {
  static sim_imu sim;
  aiot_imu imu;
  sim_imu_power_on(&sim, AIOT_MPU6050);
  const aiot_imu_setup setup = setup_of(&sim, 100, 4, 2000);
  check_at(c, "mpu6050", "opens", 0, aiot_imu_open(&imu, &setup) == AIOT_SENSOR_OK && sim_imu_running(&sim));
  static const struct {
    uint8_t reg, value;
  } expected[] = {{0x19, 9}, {0x1a, 3}, {0x1b, 0x18}, {0x1c, 0x08}, {0x23, 0x78}, {0x6a, 0x40}, {0x6b, 0x01}, {0x6c, 0x00}};
  for (size_t i = 0; i < COUNT(expected); i++) check_equal(c, "mpu6050, register", expected[i].reg, expected[i].value, sim.reg[expected[i].reg]);
  for (size_t i = 0; i < sizeof mpu6050_set; i++) sim_imu_byte(&sim, mpu6050_set[i]);
  double values[AIOT_IMU_FIELDS];
  aiot_imu_reading reading;
  check_at(c, "mpu6050", "reads", 0, aiot_imu_read(&imu, values, 1, &reading) == AIOT_SENSOR_OK && reading.count == 1 && !reading.broken);
  for (size_t i = 0; i < AIOT_IMU_FIELDS; i++) near(c, "mpu6050, value", i, mpu6050_values[i], values[i], 0.0005);
  check_equal(c, "mpu6050, saturated", 0, 2, (int64_t)reading.saturated);
  for (size_t i = 0; i < COUNT(mpu6050_temperatures); i++) {
    near(c, "mpu6050, temperature", i, mpu6050_temperatures[i].celsius, aiot_mpu6050_celsius(mpu6050_temperatures[i].raw), 0.0001);
  }
  static const double bandwidths[] = {256, 184, 94, 44, 21, 10, 5};
  for (size_t i = 0; i < COUNT(mpu6050_filters); i++) {
    near(c, "mpu6050, filter", i, mpu6050_filters[i].bandwidth_hz, bandwidths[aiot_mpu6050_filter(mpu6050_filters[i].rate_hz)], 0);
  }
  aiot_imu_setup metric = setup;
  metric.per_g = 9.80665;
  check_at(c, "mpu6050", "opens for m/s²", 0, aiot_imu_open(&imu, &metric) == AIOT_SENSOR_OK);
  for (size_t i = 0; i < sizeof mpu6050_set; i++) sim_imu_byte(&sim, mpu6050_set[i]);
  check_at(c, "mpu6050", "reads m/s²", 0, aiot_imu_read(&imu, values, 1, &reading) == AIOT_SENSOR_OK && reading.count == 1);
  for (size_t i = 0; i < AIOT_IMU_FIELDS; i++)
    near(c, "mpu6050, value in m/s²", i, mpu6050_values[i] * (i < 3 ? 9.80665 : 1), values[i], 0.005);
  aiot_imu_close(&imu);
  check_at(c, "mpu6050", "sleeps", 0, !sim_imu_running(&sim) && (sim.reg[0x6b] & 0x40) != 0);
}

static void test_lsm6ds3trc_values(checks *c) {
  for (size_t i = 0; i < COUNT(lsm6ds3trc_ctrl1); i++) {
    check_equal(c, "lsm6ds3trc, CTRL1_XL", i, lsm6ds3trc_ctrl1[i].byte, aiot_lsm6ds3trc_ctrl1(lsm6ds3trc_ctrl1[i].rate_hz, lsm6ds3trc_ctrl1[i].range));
    check_equal(c, "lsm6ds3trc, CTRL2_G", i, lsm6ds3trc_ctrl2[i].byte, aiot_lsm6ds3trc_ctrl2(lsm6ds3trc_ctrl2[i].rate_hz, lsm6ds3trc_ctrl2[i].range));
  }
  for (size_t i = 0; i < COUNT(lsm6ds3trc_temperatures); i++) {
    near(c, "lsm6ds3trc, temperature", i, lsm6ds3trc_temperatures[i].celsius, aiot_lsm6ds3trc_celsius(lsm6ds3trc_temperatures[i].raw), 0);
  }
  for (size_t i = 0; i < COUNT(lsm6ds3trc_states); i++) {
    const aiot_lsm6ds3trc_fifo got = aiot_lsm6ds3trc_status(lsm6ds3trc_states[i].bytes), want = lsm6ds3trc_states[i].fifo;
    check_at(c, "lsm6ds3trc", lsm6ds3trc_states[i].what, i,
             got.words == want.words && got.overrun == want.overrun && got.empty == want.empty && got.pattern == want.pattern);
  }
  static sim_imu sim;
  aiot_imu imu;
  sim_imu_power_on(&sim, AIOT_LSM6DS3TRC);
  const aiot_imu_setup setup = setup_of(&sim, 104, 2, 250);
  check_at(c, "lsm6ds3trc", "opens", 0, aiot_imu_open(&imu, &setup) == AIOT_SENSOR_OK && sim_imu_running(&sim));
  static const struct {
    uint8_t reg, value;
  } expected[] = {{0x08, 0x09}, {0x09, 0x00}, {0x0a, 0x26}, {0x10, 0x40}, {0x11, 0x40}, {0x12, 0x44}, {0x13, 0x08}};
  for (size_t i = 0; i < COUNT(expected); i++) check_equal(c, "lsm6ds3trc, register", expected[i].reg, expected[i].value, sim.reg[expected[i].reg]);
  for (size_t i = 0; i < COUNT(lsm6ds3trc_words); i++) {
    int16_t counts[AIOT_IMU_FIELDS] = {0};
    const int32_t word = lsm6ds3trc_words[i].word;
    counts[lsm6ds3trc_words[i].rotation ? 4 : 1] = (int16_t)(word >= 0x8000 ? word - 0x10000 : word);
    /* The very first sample is not returned by the driver. */
    if (i == 0) sim_imu_sample(&sim, counts);
    sim_imu_sample(&sim, counts);
    double values[2 * AIOT_IMU_FIELDS] = {0};
    aiot_imu_reading reading;
    check_at(c, "lsm6ds3trc", "reads", i, aiot_imu_read(&imu, values, 2, &reading) == AIOT_SENSOR_OK && reading.count == 1);
    near(c, "lsm6ds3trc, word", i, lsm6ds3trc_words[i].value, values[lsm6ds3trc_words[i].rotation ? 4 : 1], 0.005);
    near(c, "lsm6ds3trc, adjacent axis", i, 0, values[lsm6ds3trc_words[i].rotation ? 3 : 0], 0);
  }
  check_equal(c, "lsm6ds3trc, violations", 0, 0, sim.violations);
  aiot_imu_close(&imu);
  check_at(c, "lsm6ds3trc", "sleeps", 0, !sim_imu_running(&sim));
}

/* Adds samples whose axes all contain the number of the sample. */
static void give(sim_imu *sim, int16_t *number, size_t samples) {
  for (size_t i = 0; i < samples; i++) {
    const int16_t n = (*number)++;
    const int16_t counts[AIOT_IMU_FIELDS] = {n, n, n, n, n, n};
    sim_imu_sample(sim, counts);
  }
}

typedef struct {
  int16_t last;
  size_t samples;
  size_t jumps;
  size_t untold;
  size_t mixed;
} course;

/* Checks that each sample has the same number in all axes, and that numbers jump only if the reading reported a gap. */
static void follow(const aiot_imu *imu, const double *values, const aiot_imu_reading *reading, course *run) {
  for (size_t i = 0; i < reading->count; i++) {
    const double *at = values + i * imu->fields;
    const int16_t n = (int16_t)lrint(at[0] / imu->acceleration_per_count);
    for (size_t f = 1; f < imu->fields; f++) {
      if (lrint(at[f] / (f < 3 ? imu->acceleration_per_count : imu->dps_per_count)) != n) run->mixed++;
    }
    if (run->samples > 0 && n != run->last + 1) {
      run->jumps++;
      if (i > 0 || !reading->broken) run->untold++;
    }
    run->last = n;
    run->samples++;
  }
}

static course run_for(sim_imu *sim, aiot_imu *imu, size_t readings, size_t each, size_t late_at, uint32_t deaf_every) {
  static double values[512 * AIOT_IMU_FIELDS];
  course run = {0};
  int16_t number = 1;
  for (size_t i = 0; i < readings; i++) {
    give(sim, &number, i == late_at ? 900 : each);
    if (deaf_every != 0 && i % 3 == 1) sim->deaf_at = sim->transactions + 1 + (uint32_t)i % deaf_every;
    aiot_imu_reading reading;
    aiot_imu_read(imu, values, 512, &reading);
    follow(imu, values, &reading, &run);
  }
  return run;
}

static void test_courses(checks *c, aiot_imu_chip chip, int range_dps) {
  static sim_imu sim;
  aiot_imu imu;
  const size_t row = (size_t)chip * 10 + (range_dps != 0);
  const double rate = chip == AIOT_MPU6050 ? 100 : 104;
  for (size_t kind = 0; kind < 3; kind++) {
    sim_imu_power_on(&sim, chip);
    const aiot_imu_setup setup = setup_of(&sim, rate, 16, range_dps);
    check_at(c, "imu", "opens", row, aiot_imu_open(&imu, &setup) == AIOT_SENSOR_OK);
    const course run = run_for(&sim, &imu, 300, 25, kind == 1 ? 100 : SIZE_MAX, kind == 2 ? 7 : 0);
    check_equal(c, "imu, mixed samples", row * 10 + kind, 0, (int64_t)run.mixed);
    check_equal(c, "imu, unreported gaps", row * 10 + kind, 0, (int64_t)run.untold);
    check_equal(c, "imu, violations", row * 10 + kind, 0, sim.violations);
    if (kind == 0) {
      check_equal(c, "imu, samples", row, 300 * 25 - (chip == AIOT_LSM6DS3TRC ? 1 : 0), (int64_t)run.samples);
      check_equal(c, "imu, no gap", row, 0, (int64_t)run.jumps);
    }
    if (kind == 1) check_equal(c, "imu, one gap if the reader was late", row, 1, (int64_t)run.jumps);
    if (kind == 2) check_at(c, "imu", "continues after missing acknowledgments", row, run.samples > 2500 && run.jumps > 10);
  }
}

/* If half a set is missing, the driver waits for the chip. If the rest does not arrive, everything is discarded and reported. */
static void test_out_of_step(checks *c) {
  static sim_imu sim;
  aiot_imu imu;
  double values[64 * AIOT_IMU_FIELDS];
  aiot_imu_reading reading;
  int16_t number = 1;
  sim_imu_power_on(&sim, AIOT_MPU6050);
  const aiot_imu_setup setup = setup_of(&sim, 100, 16, 2000);
  aiot_imu_open(&imu, &setup);
  give(&sim, &number, 5);
  sim_imu_byte(&sim, 0x55);
  check_at(c, "mpu6050", "out of step", 0, aiot_imu_read(&imu, values, 64, &reading) == AIOT_SENSOR_OK && reading.count == 0 && sim.bytes == 0);
  give(&sim, &number, 5);
  check_at(c, "mpu6050", "reported", 0, aiot_imu_read(&imu, values, 64, &reading) == AIOT_SENSOR_OK && reading.count == 5 && reading.broken);
  give(&sim, &number, 5);
  check_at(c, "mpu6050", "once", 0, aiot_imu_read(&imu, values, 3, &reading) == AIOT_SENSOR_OK && reading.count == 3 && !reading.broken);
  check_at(c, "mpu6050", "the rest is kept", 0, aiot_imu_read(&imu, values, 64, &reading) == AIOT_SENSOR_OK && reading.count == 2);
  /* Samples of filters that have not settled are discarded. */
  sim_imu_power_on(&sim, AIOT_LSM6DS3TRC);
  const aiot_imu_setup other = setup_of(&sim, 104, 16, 2000);
  aiot_imu_open(&imu, &other);
  const int16_t start[AIOT_IMU_FIELDS] = {1, 1, 1, 0x7fff, 0x7ffe, 0x7ffd};
  for (int i = 0; i < 4; i++) sim_imu_sample(&sim, start);
  give(&sim, &number, 3);
  sim_imu_sample(&sim, start);
  check_at(c, "lsm6ds3trc", "settles", 0, aiot_imu_read(&imu, values, 64, &reading) == AIOT_SENSOR_OK && reading.count == 4);
  check_equal(c, "lsm6ds3trc, saturated after settling", 0, 3, (int64_t)reading.saturated);
}

static void test_refusals(checks *c) {
  static sim_imu sim;
  aiot_imu imu;
  for (int chip = AIOT_MPU6050; chip <= AIOT_LSM6DS3TRC; chip++) {
    sim_imu_power_on(&sim, (aiot_imu_chip)chip);
    const aiot_imu_setup good = setup_of(&sim, chip == AIOT_MPU6050 ? 100 : 104, 4, 500);
    aiot_imu_setup wrong = good;
    wrong.rate_hz = 101;
    check_at(c, "imu", "an unsupported rate", (size_t)chip, aiot_imu_open(&imu, &wrong) == AIOT_SENSOR_SETTING);
    wrong = good;
    wrong.range_g = 5;
    check_at(c, "imu", "an unsupported range", (size_t)chip, aiot_imu_open(&imu, &wrong) == AIOT_SENSOR_SETTING);
    wrong = good;
    wrong.range_dps = 600;
    check_at(c, "imu", "an unsupported rotation range", (size_t)chip, aiot_imu_open(&imu, &wrong) == AIOT_SENSOR_SETTING);
    check_equal(c, "imu, no transactions", (size_t)chip, 0, sim.transactions);
    wrong = good;
    wrong.address++;
    check_at(c, "imu", "no chip", (size_t)chip, aiot_imu_open(&imu, &wrong) == AIOT_SENSOR_ABSENT);
    sim.reg[chip == AIOT_MPU6050 ? 0x75 : 0x0f] = 0x71;
    check_at(c, "imu", "another chip", (size_t)chip, aiot_imu_open(&imu, &good) == AIOT_SENSOR_OTHER);
    /* If any transaction fails during startup, the failure is reported. */
    uint32_t opened = 0;
    for (uint32_t at = 1; at < 40 && opened == 0; at++) {
      sim_imu_power_on(&sim, (aiot_imu_chip)chip);
      sim.deaf_at = at;
      const aiot_sensor_code code = aiot_imu_open(&imu, &good);
      if (sim.transactions < at) opened = at;
      check_at(c, "imu", "a start without acknowledgments", at, opened != 0 ? code == AIOT_SENSOR_OK : code == (at == 1 ? AIOT_SENSOR_ABSENT : AIOT_SENSOR_FAILED));
    }
    check_at(c, "imu", "starts in some transactions", opened, opened > 10);
  }
}

/* A simulated thermometer on a wire, bit by bit. */
typedef struct {
  aiot_wire port;
  bool absent;
  uint8_t scratchpad[AIOT_SCRATCHPAD_BYTES];
  uint32_t written;
  size_t bits;
  size_t read;
} sim_wire;

static bool wire_reset(void *context) {
  sim_wire *sim = context;
  sim->written = 0;
  sim->bits = sim->read = 0;
  return !sim->absent;
}

static void wire_write(void *context, bool bit) {
  sim_wire *sim = context;
  sim->written |= (bit ? 1u : 0u) << sim->bits++;
}

static bool wire_read(void *context) {
  sim_wire *sim = context;
  if (sim->bits != 16 || sim->written != 0xbecc) return true;
  const size_t at = sim->read++;
  return at >= 8 * AIOT_SCRATCHPAD_BYTES || (sim->scratchpad[at / 8] >> at % 8 & 1) != 0;
}

static void test_ds18b20(checks *c) {
  sim_wire sim = {.absent = false};
  sim.port = (aiot_wire){&sim, wire_reset, wire_write, wire_read, NULL};
  for (size_t i = 0; i < COUNT(ds18b20_scratchpads); i++) {
    memcpy(sim.scratchpad, ds18b20_scratchpads[i].bytes, AIOT_SCRATCHPAD_BYTES);
    double celsius = 0;
    const aiot_sensor_code code = aiot_ds18b20_read(&sim.port, &celsius);
    check_at(c, "ds18b20", ds18b20_scratchpads[i].what, i, code == (ds18b20_scratchpads[i].good ? AIOT_SENSOR_OK : AIOT_SENSOR_FAILED));
    near(c, "ds18b20", i, ds18b20_scratchpads[i].celsius, celsius, 0);
  }
  for (size_t i = 0; i < COUNT(ds18b20_temperatures); i++) {
    uint8_t bytes[AIOT_SCRATCHPAD_BYTES] = {ds18b20_temperatures[i].low, ds18b20_temperatures[i].high, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10, 0};
    bytes[8] = aiot_wire_crc(bytes, 8);
    double celsius = 999;
    check_at(c, "ds18b20, table", "read", i, aiot_ds18b20_celsius(bytes, &celsius));
    near(c, "ds18b20, table", i, ds18b20_temperatures[i].celsius, celsius, 0);
    /* A scratchpad with any flipped bit is rejected. */
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
      bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
      check_at(c, "ds18b20, flipped bit", "refused", bit, !aiot_ds18b20_celsius(bytes, &celsius));
      bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
  }
  /* At 9 bits, the lowest three bits are undefined. */
  uint8_t coarse[AIOT_SCRATCHPAD_BYTES] = {0x97, 0x01, 0x4b, 0x46, 0x1f, 0xff, 0x0f, 0x10, 0};
  coarse[8] = aiot_wire_crc(coarse, 8);
  double celsius = 0;
  check_at(c, "ds18b20", "9 bits", 0, aiot_ds18b20_celsius(coarse, &celsius));
  near(c, "ds18b20, 9 bits", 0, 25, celsius, 0);
  check_at(c, "ds18b20", "converts", 0, aiot_ds18b20_convert(&sim.port) && sim.written == 0x44cc);
  sim.absent = true;
  check_at(c, "ds18b20", "absent", 0, !aiot_ds18b20_convert(&sim.port) && aiot_ds18b20_read(&sim.port, &celsius) == AIOT_SENSOR_ABSENT);
}

static void test_analogue(checks *c) {
  const aiot_converter converter = {12, 3.3};
  static const double per_ampere[] = {0.185, 0.1, 0.066};
  for (int kind = AIOT_ACS712_5A; kind <= AIOT_ACS712_30A; kind++) {
    const aiot_channel alternating = aiot_acs712(converter, (aiot_acs712_kind)kind, 2.0 / 3);
    const aiot_channel direct = aiot_acs712_direct(converter, (aiot_acs712_kind)kind, 2.0 / 3, 5);
    const double count = aiot_volts_per_count(converter);
    /* 3 A RMS centered at half of 5 V, and 3 A of direct current. */
    const aiot_summary waves = {.mean = 2.5 * 2 / 3 / count, .ac_rms = 3 * per_ampere[kind] * 2 / 3 / count};
    const aiot_summary steady = {.mean = (2.5 + 3 * per_ampere[kind]) * 2 / 3 / count};
    near(c, "acs712, alternating", (size_t)kind, 3, aiot_channel_value(&alternating, &waves), 1e-9);
    near(c, "acs712, direct", (size_t)kind, 3, aiot_channel_value(&direct, &steady), 1e-9);
    near(c, "acs712, nothing", (size_t)kind, 0, aiot_channel_value(&direct, &waves), 1e-9);
  }
  double squares = 0;
  const double pi = 3.14159265358979323846;
  for (int i = 0; i < 480; i++) {
    const double x = aiot_inmp441_sample((int32_t)lrint(inmp441_peak_94db * sin(2 * pi * i / 48)) * 256);
    squares += x * x;
  }
  near(c, "inmp441, 94 dB", 0, 94, aiot_inmp441_decibels(sqrt(squares / 480)), 0.001);
  near(c, "inmp441, least", 0, -1, aiot_inmp441_sample(INT32_MIN), 0);
  near(c, "inmp441, most", 0, 8388607.0 / 8388608, aiot_inmp441_sample(INT32_MAX), 0);
  near(c, "inmp441, the lowest byte is ignored", 0, -1.0 / 8388608, aiot_inmp441_sample(-1), 0);
}

static void test_adc(checks *c) {
  aiot_adc_result result;
  const uint8_t esp32[] = {0xbc, 0x7a};
  check_at(c, "adc", "esp32", 0, aiot_adc_parse(AIOT_ADC_WORD16, esp32, &result) && result.channel == 7 && result.count == 0xabc);
  for (uint32_t channel = 0; channel < 8; channel++) {
    for (uint32_t unit = 0; unit < 2; unit++) {
      const uint32_t s3 = 0xabc | channel << 13 | unit << 17, c3 = 0x123 | channel << 13 | unit << 16;
      const uint8_t s3_bytes[] = {(uint8_t)s3, (uint8_t)(s3 >> 8), (uint8_t)(s3 >> 16), 0};
      const uint8_t c3_bytes[] = {(uint8_t)c3, (uint8_t)(c3 >> 8), (uint8_t)(c3 >> 16), 0};
      check_at(c, "adc", "esp32s3", channel, aiot_adc_parse(AIOT_ADC_WORD32_S3, s3_bytes, &result) == (unit == 0) && result.channel == channel && result.count == 0xabc);
      check_at(c, "adc", "esp32c3", channel, aiot_adc_parse(AIOT_ADC_WORD32_C3, c3_bytes, &result) == (unit == 0) && result.channel == channel && result.count == 0x123);
    }
  }
  /* The only ADC of a C6 leaves the bits after its channel undefined. */
  const uint8_t c6_bytes[] = {0x23, 0x61, 0xfe, 0xff};
  check_at(c, "adc", "esp32c6", 0, aiot_adc_parse(AIOT_ADC_WORD32_C6, c6_bytes, &result) && result.channel == 3 && result.count == 0x123);
  check_at(c, "adc", "bytes", 0, aiot_adc_word_bytes(AIOT_ADC_WORD16) == 2 && aiot_adc_word_bytes(AIOT_ADC_WORD32_C3) == 4);
}

int main(void) {
  checks c = {0, 0};
  test_mpu6050_values(&c);
  test_lsm6ds3trc_values(&c);
  for (int chip = AIOT_MPU6050; chip <= AIOT_LSM6DS3TRC; chip++) {
    test_courses(&c, (aiot_imu_chip)chip, 2000);
    test_courses(&c, (aiot_imu_chip)chip, 0);
  }
  test_out_of_step(&c);
  test_refusals(&c);
  test_ds18b20(&c);
  test_analogue(&c);
  test_adc(&c);
  return checks_end(&c);
}
