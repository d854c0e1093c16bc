#define _GNU_SOURCE
#include "flash_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 4096u

/* The file stores every byte inverted, so that ranges that were never written are holes in the file and read as erased. */
static bool put(aiot_flash_file *file, uint32_t offset, size_t bytes) {
  uint8_t inverted[SECTOR];
  for (size_t at = 0; at < bytes;) {
    const size_t part = bytes - at < sizeof inverted ? bytes - at : sizeof inverted;
    for (size_t i = 0; i < part; i++) inverted[i] = (uint8_t)~file->memory[offset + at + i];
    if (pwrite(file->file, inverted, part, (off_t)(offset + at)) != (ssize_t)part) return false;
    at += part;
  }
  return true;
}

static bool inside(const aiot_flash_file *file, uint32_t offset, size_t bytes) {
  return offset <= file->flash.bytes && bytes <= file->flash.bytes - offset;
}

static bool read_flash(void *context, uint32_t offset, void *out, size_t bytes) {
  const aiot_flash_file *file = context;
  if (!inside(file, offset, bytes)) return false;
  memcpy(out, file->memory + offset, bytes);
  return true;
}

static bool write_flash(void *context, uint32_t offset, const void *data, size_t bytes) {
  aiot_flash_file *file = context;
  if (!inside(file, offset, bytes)) return false;
  const uint8_t *from = data;
  for (size_t i = 0; i < bytes; i++) file->memory[offset + i] &= from[i];
  return put(file, offset, bytes);
}

static bool erase_flash(void *context, uint32_t offset) {
  aiot_flash_file *file = context;
  if (offset % SECTOR != 0 || !inside(file, offset, SECTOR)) return false;
  memset(file->memory + offset, 0xFF, SECTOR);
  return put(file, offset, SECTOR);
}

static bool sync_flash(void *context) { return fdatasync(((aiot_flash_file *)context)->file) == 0; }

static const uint8_t *map_flash(void *context, uint32_t offset, size_t bytes) {
  const aiot_flash_file *file = context;
  return inside(file, offset, bytes) ? file->memory + offset : NULL;
}

static bool load(aiot_flash_file *file, uint32_t bytes) {
  struct stat info;
  if (fstat(file->file, &info) != 0) return false;
  if (info.st_size != 0 && info.st_size != (off_t)bytes) {
    errno = EFBIG;
    return false;
  }
  if (ftruncate(file->file, (off_t)bytes) != 0) return false;
  file->memory = malloc(bytes);
  if (file->memory == NULL || pread(file->file, file->memory, bytes, 0) != (ssize_t)bytes) return false;
  for (uint32_t i = 0; i < bytes; i++) file->memory[i] = (uint8_t)~file->memory[i];
  return true;
}

bool aiot_flash_file_open(aiot_flash_file *out, const char *path, uint32_t bytes, bool alone) {
  *out = (aiot_flash_file){.file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  if (out->file < 0) return false;
  if ((alone && flock(out->file, LOCK_EX | LOCK_NB) != 0) || !load(out, bytes)) {
    const int reason = errno;
    aiot_flash_file_close(out);
    errno = reason;
    return false;
  }
  out->flash = (aiot_flash){out, bytes, SECTOR, read_flash, write_flash, erase_flash, sync_flash, map_flash, NULL};
  return true;
}

void aiot_flash_file_close(aiot_flash_file *file) {
  free(file->memory);
  file->memory = NULL;
  if (file->file >= 0) close(file->file);
  file->file = -1;
}
