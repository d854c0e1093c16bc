/*
 * Simulated NOR flash. An erase sets a sector to 0xFF, a write only clears bits, and the power can be cut at any byte of a write or an
 * erase. Operations are counted, so that a test can cut the power at each of them.
 */
#ifndef AIOT_SIM_FLASH_H
#define AIOT_SIM_FLASH_H

#include "aiot/ports.h"

/* Progress of the operation at the power cut. */
typedef enum {
  SIM_TORN_BEFORE,
  SIM_TORN_FIRST_BYTE,
  SIM_TORN_HALF,
  SIM_TORN_LAST_BYTE_MISSING,
  /* Half way, with only some bits of the current byte; for an erase, all over the sector. */
  SIM_TORN_BITS,
  SIM_TORN_AFTER,
  SIM_TORN_WAYS
} sim_torn;

typedef struct {
  aiot_flash port;
  uint8_t *memory;
  /* Since power-on. */
  uint32_t writes;
  uint32_t erases;
  /* Power cut at this operation, counted from 1; 0 = never. */
  uint32_t cut_at;
  sim_torn torn;
  bool off;
  /* Bytes written twice without an erase: cleared bits stay cleared, and some chips do not allow it at all. */
  uint32_t overwrites;
  uint32_t random;
} sim_flash;

/* Erased, with room for two sectors of records and two slots. @returns false without memory */
bool sim_flash_open(sim_flash *flash, uint32_t bytes, uint32_t sector_bytes);
void sim_flash_close(sim_flash *flash);

/* The contents of another of the same size; power and counts as after power-on. */
void sim_flash_copy(sim_flash *flash, const sim_flash *from);

/* Resets counts to 0, without a cut. */
void sim_flash_power_on(sim_flash *flash);

#endif
