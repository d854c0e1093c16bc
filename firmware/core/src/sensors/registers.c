#include "registers.h"

bool aiot_imu_write(const aiot_imu *imu, uint8_t reg, uint8_t value) {
  const aiot_i2c *bus = imu->setup.bus;
  return bus->write(bus->context, imu->setup.address, reg, value);
}

bool aiot_imu_bytes(const aiot_imu *imu, uint8_t reg, uint8_t *out, size_t bytes) {
  const aiot_i2c *bus = imu->setup.bus;
  return bus->read(bus->context, imu->setup.address, reg, out, bytes);
}

aiot_sensor_code aiot_imu_expect(const aiot_imu *imu, uint8_t reg, uint8_t identity) {
  uint8_t got = 0;
  if (!aiot_imu_bytes(imu, reg, &got, 1)) return AIOT_SENSOR_ABSENT;
  return got == identity ? AIOT_SENSOR_OK : AIOT_SENSOR_OTHER;
}

int16_t aiot_imu_word(uint8_t high, uint8_t low) {
  const int32_t raw = (int32_t)high << 8 | low;
  return (int16_t)(raw >= 0x8000 ? raw - 0x10000 : raw);
}

size_t aiot_imu_sets(const aiot_imu *imu) {
  const size_t longest = imu->setup.bus->longest < AIOT_IMU_BLOCK ? imu->setup.bus->longest : AIOT_IMU_BLOCK;
  return longest / (2 * imu->fields);
}
