#ifndef AIOT_FLASH_FILE_H
#define AIOT_FLASH_FILE_H

#include "aiot/ports.h"

/* A flash that is kept in a file, as src/lib/device/virtual/flash.ts keeps it: either side reads the other's. */
typedef struct {
  aiot_flash flash;
  int file;
  uint8_t *memory;
} aiot_flash_file;

/* Opens or makes it. `alone`: no other process may have it. False with errno set; EFBIG = a file of another size, EWOULDBLOCK = taken. */
bool aiot_flash_file_open(aiot_flash_file *out, const char *path, uint32_t bytes, bool alone);
void aiot_flash_file_close(aiot_flash_file *file);

#endif
