#include "aiot/sensors.h"

enum { SKIP_ROM = 0xcc, CONVERT = 0x44, READ_SCRATCHPAD = 0xbe, UNMEASURED = 85 * 16 };

uint8_t aiot_wire_crc(const uint8_t *data, size_t bytes) {
  unsigned crc = 0;
  for (size_t i = 0; i < bytes; i++) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; bit++) crc = (crc & 1) == 0 ? crc >> 1 : crc >> 1 ^ 0x8c;
  }
  return (uint8_t)crc;
}

bool aiot_ds18b20_celsius(const uint8_t scratchpad[AIOT_SCRATCHPAD_BYTES], double *celsius) {
  if (aiot_wire_crc(scratchpad, AIOT_SCRATCHPAD_BYTES - 1) != scratchpad[AIOT_SCRATCHPAD_BYTES - 1]) return false;
  /* A wire that is held low reads as zeros, whose checksum is valid. */
  size_t zeros = 0;
  while (zeros < AIOT_SCRATCHPAD_BYTES && scratchpad[zeros] == 0) zeros++;
  if (zeros == AIOT_SCRATCHPAD_BYTES) return false;
  int32_t raw = (int32_t)scratchpad[1] << 8 | scratchpad[0];
  if (raw >= 0x8000) raw -= 0x10000;
  /* With fewer than 12 bits, the lowest ones are undefined. */
  const unsigned missing = 3 - (scratchpad[4] >> 5 & 3u);
  raw -= raw & ((1 << missing) - 1);
  /* Before the first measurement, byte 6 is 0x0C and the temperature is the power-on value. */
  if ((raw == UNMEASURED && scratchpad[6] == 0x0c) || raw > 125 * 16) return false;
  *celsius = raw / 16.0;
  return true;
}

static void write_byte(const aiot_wire *wire, uint8_t byte) {
  for (int bit = 0; bit < 8; bit++) wire->write_bit(wire->context, (byte >> bit & 1) != 0);
}

static uint8_t read_byte(const aiot_wire *wire) {
  unsigned byte = 0;
  for (int bit = 0; bit < 8; bit++) byte |= wire->read_bit(wire->context) ? 1u << bit : 0;
  return (uint8_t)byte;
}

bool aiot_ds18b20_convert(const aiot_wire *wire) {
  if (!wire->reset(wire->context)) return false;
  write_byte(wire, SKIP_ROM);
  write_byte(wire, CONVERT);
  return true;
}

aiot_sensor_code aiot_ds18b20_read(const aiot_wire *wire, double *celsius) {
  if (!wire->reset(wire->context)) return AIOT_SENSOR_ABSENT;
  write_byte(wire, SKIP_ROM);
  write_byte(wire, READ_SCRATCHPAD);
  uint8_t scratchpad[AIOT_SCRATCHPAD_BYTES];
  for (size_t i = 0; i < sizeof scratchpad; i++) scratchpad[i] = read_byte(wire);
  return aiot_ds18b20_celsius(scratchpad, celsius) ? AIOT_SENSOR_OK : AIOT_SENSOR_FAILED;
}
