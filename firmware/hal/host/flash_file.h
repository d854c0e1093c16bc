#ifndef AIOT_FLASH_FILE_H
#define AIOT_FLASH_FILE_H

#include "aiot/ports.h"

/* A flash stored in a file, compatible with src/lib/device/virtual/flash.ts in both directions. */
typedef struct {
  aiot_flash flash;
  int file;
  uint8_t *memory;
} aiot_flash_file;

/*
 * Opens or creates the file. `alone`: no other process may have it open. Returns false and sets errno on failure; EFBIG = the file
 * has a different size, EWOULDBLOCK = it is in use.
 */
bool aiot_flash_file_open(aiot_flash_file *out, const char *path, uint32_t bytes, bool alone);
void aiot_flash_file_close(aiot_flash_file *file);

#endif
