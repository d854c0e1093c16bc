#include "sim_imu.h"

#include <string.h>

static bool is_mpu(const sim_imu *sim) { return sim->chip == AIOT_MPU6050; }
static size_t capacity(const sim_imu *sim) { return is_mpu(sim) ? 1024 : 4096; }

static size_t set_bytes(const sim_imu *sim) {
  if (is_mpu(sim)) return ((sim->reg[0x23] & 0x08) != 0 ? 6u : 0u) + ((sim->reg[0x23] & 0x70) == 0x70 ? 6u : 0u);
  return ((sim->reg[0x08] & 0x07) != 0 ? 6u : 0u) + ((sim->reg[0x08] & 0x38) != 0 ? 6u : 0u);
}

static void reset(sim_imu *sim) {
  memset(sim->reg, 0, sizeof sim->reg);
  sim->bytes = sim->first = sim->pattern = 0;
  sim->overran = false;
  if (is_mpu(sim)) {
    sim->reg[0x75] = 0x68;
    sim->reg[0x6b] = 0x40;
  } else {
    sim->reg[0x0f] = 0x6a;
    sim->reg[0x12] = 0x04;
  }
}

bool sim_imu_running(const sim_imu *sim) {
  if (is_mpu(sim)) return (sim->reg[0x6b] & 0x40) == 0 && (sim->reg[0x6a] & 0x40) != 0 && set_bytes(sim) > 0;
  return sim->reg[0x10] >> 4 != 0 && (sim->reg[0x0a] & 7) == 6 && set_bytes(sim) > 0;
}

static void put(sim_imu *sim, uint8_t byte) {
  sim->fifo[(sim->first + sim->bytes++) % capacity(sim)] = byte;
}

static void drop(sim_imu *sim, size_t bytes) {
  sim->first = (sim->first + bytes) % capacity(sim);
  sim->bytes -= bytes;
}

void sim_imu_byte(sim_imu *sim, uint8_t byte) {
  if (sim->bytes == capacity(sim)) {
    drop(sim, 1);
    sim->overran = true;
  }
  put(sim, byte);
}

void sim_imu_sample(sim_imu *sim, const int16_t counts[AIOT_IMU_FIELDS]) {
  if (!sim_imu_running(sim)) return;
  const size_t set = set_bytes(sim);
  if (is_mpu(sim)) {
    for (size_t i = 0; i < set / 2; i++) {
      sim_imu_byte(sim, (uint8_t)((uint16_t)counts[i] >> 8));
      sim_imu_byte(sim, (uint8_t)counts[i]);
    }
    return;
  }
  /* Whole sets are overwritten, so the position within a set is unchanged. */
  if (sim->bytes + set > capacity(sim)) {
    drop(sim, set);
    sim->overran = true;
  }
  for (size_t i = 0; i < set / 2; i++) {
    const int16_t word = set == 12 ? counts[(i + 3) % 6] : counts[i];
    put(sim, (uint8_t)word);
    put(sim, (uint8_t)((uint16_t)word >> 8));
  }
}

static uint8_t take(sim_imu *sim) {
  if (sim->bytes == 0) {
    sim->violations++;
    return 0xee;
  }
  const uint8_t byte = sim->fifo[sim->first];
  drop(sim, 1);
  return byte;
}

static void read_fifo(sim_imu *sim, uint8_t *out, size_t bytes) {
  if (!is_mpu(sim) && bytes % 2 != 0) sim->violations++;
  for (size_t i = 0; i < bytes; i++) out[i] = take(sim);
  if (is_mpu(sim)) return;
  const size_t words = set_bytes(sim) / 2;
  if (words > 0) sim->pattern = (sim->pattern + bytes / 2) % words;
  sim->overran = false;
}

static uint8_t read_register(const sim_imu *sim, uint8_t reg) {
  if (is_mpu(sim)) {
    if (reg == 0x72) return (uint8_t)(sim->bytes >> 8);
    return reg == 0x73 ? (uint8_t)sim->bytes : sim->reg[reg];
  }
  const size_t words = sim->overran ? 0 : sim->bytes / 2 > 2047 ? 2047 : sim->bytes / 2;
  if (reg == 0x3a) return (uint8_t)words;
  if (reg == 0x3b) return (uint8_t)(words >> 8 | (sim->overran ? 0x60u : 0u) | (sim->bytes == 0 ? 0x10u : 0u));
  if (reg == 0x3c) return (uint8_t)sim->pattern;
  return reg == 0x3d ? (uint8_t)(sim->pattern >> 8) : sim->reg[reg];
}

static bool heard(sim_imu *sim, uint8_t address) {
  return ++sim->transactions != sim->deaf_at && address == sim->address;
}

static bool bus_read(void *context, uint8_t address, uint8_t reg, uint8_t *out, size_t bytes) {
  sim_imu *sim = context;
  if (bytes > sim->port.longest) sim->violations++;
  const bool fifo = reg == (is_mpu(sim) ? 0x74 : 0x3e);
  if (!heard(sim, address)) {
    /* The transaction is aborted halfway, and the data that was already read is lost. */
    if (fifo) read_fifo(sim, out, bytes / 4 * 2);
    return false;
  }
  if (fifo) read_fifo(sim, out, bytes);
  else for (size_t i = 0; i < bytes; i++) out[i] = read_register(sim, (uint8_t)(reg + i));
  return true;
}

static bool bus_write(void *context, uint8_t address, uint8_t reg, uint8_t value) {
  sim_imu *sim = context;
  if (!heard(sim, address)) return false;
  const bool restart = is_mpu(sim) ? reg == 0x6b && (value & 0x80) != 0 : reg == 0x12 && (value & 1) != 0;
  if (restart) {
    reset(sim);
    return true;
  }
  sim->reg[reg] = value;
  const bool cleared = is_mpu(sim) ? reg == 0x6a && (value & 4) != 0 : reg == 0x0a && (value & 7) == 0;
  if (cleared) {
    sim->bytes = sim->first = sim->pattern = 0;
    sim->overran = false;
  }
  return true;
}

static void wait_ms(void *context, uint32_t ms) { ((sim_imu *)context)->waited_ms += ms; }

void sim_imu_power_on(sim_imu *sim, aiot_imu_chip chip) {
  memset(sim, 0, sizeof *sim);
  sim->chip = chip;
  sim->address = chip == AIOT_MPU6050 ? 0x68 : 0x6a;
  sim->port = (aiot_i2c){sim, bus_read, bus_write, wait_ms, 32};
  reset(sim);
}
