#ifndef AIOT_FLASH_FILE_H
#define AIOT_FLASH_FILE_H

#include "aiot/ports.h"

/* A flash stored in a file. The format is that of src/lib/device/virtual/flash.ts. */
typedef struct {
  aiot_flash flash;
  int file;
  uint8_t *memory;
} aiot_flash_file;

/*
 * Opens or creates the file. `alone`: no other process may have it open. On failure, returns false and sets errno; EFBIG = the
 * file has another size, EWOULDBLOCK = it is in use.
 */
bool aiot_flash_file_open(aiot_flash_file *out, const char *path, uint32_t bytes, bool alone);
void aiot_flash_file_close(aiot_flash_file *file);

#endif
