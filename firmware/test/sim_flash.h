/*
 * Simulated NOR flash. An erase sets a sector to 0xFF, a write only clears bits, and the power can be cut at any byte of a write
 * or an erase. Operations are counted, so that tests can cut the power at each of them.
 */
#ifndef AIOT_SIM_FLASH_H
#define AIOT_SIM_FLASH_H

#include "aiot/ports.h"

/* How much of the operation is done when the power is cut. */
typedef enum {
  SIM_TORN_BEFORE,
  SIM_TORN_FIRST_BYTE,
  SIM_TORN_HALF,
  SIM_TORN_LAST_BYTE_MISSING,
  /* Half of the operation, with some bits of the current byte missing. After an erase, bits are missing all over the sector. */
  SIM_TORN_BITS,
  SIM_TORN_AFTER,
  SIM_TORN_WAYS
} sim_torn;

typedef struct {
  aiot_flash port;
  uint8_t *memory;
  /* Number of operations since power-on. */
  uint32_t writes;
  uint32_t erases;
  /* Operation at which the power is cut, counted from 1; 0 = never. */
  uint32_t cut_at;
  sim_torn torn;
  bool off;
  /*
   * Number of bytes that were written twice without an erase. Cleared bits stay cleared, and some chips do not allow it at all.
   */
  uint32_t overwrites;
  uint32_t random;
  /* Bytes mapped from encrypted flash, decrypted; NULL = the flash is not encrypted. */
  uint8_t *decrypted;
} sim_flash;

/* Opens an erased flash. False if there is too little memory. */
bool sim_flash_open(sim_flash *flash, uint32_t bytes, uint32_t sector_bytes);
void sim_flash_close(sim_flash *flash);

/*
 * Encrypts the flash from now on, as a chip does: erased bytes are decrypted to noise, and only whole blocks can be written. False
 * if there is too little memory. The contents must be erased.
 */
bool sim_flash_encrypt(sim_flash *flash);

/* Copies the contents of another flash of the same size. Power and counts are reset as at power-on. */
void sim_flash_copy(sim_flash *flash, const sim_flash *from);

/* Restores the power, resets the counts to 0, and cancels any planned power cut. */
void sim_flash_power_on(sim_flash *flash);

#endif
