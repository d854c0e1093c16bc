#define _GNU_SOURCE
#include "settings_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char *folder_of_settings;

static void path_of(const char *name, char out[600]) { snprintf(out, 600, "%s/%s", folder_of_settings, name); }

static size_t read_file(void *context, void *out, size_t room) {
  char path[600];
  (void)context;
  path_of("settings.json", path);
  FILE *file = fopen(path, "rb");
  if (file == NULL) return 0;
  size_t bytes = fread(out, 1, room, file);
  if (ferror(file) != 0 || fgetc(file) != EOF) bytes = 0;
  fclose(file);
  return bytes;
}

/*
 * Makes a new name, or a deleted one, durable. Some file systems cannot; then, a power cut right afterward may bring back the former text,
 * and the platform sends its settings again.
 */
static void sync_folder(void) {
  const int folder = open(folder_of_settings, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);
  close(folder);
}

static bool write_file(void *context, const void *text, size_t bytes) {
  char path[600], next[600];
  (void)context;
  path_of("settings.json", path);
  if (bytes == 0) {
    if (unlink(path) != 0 && errno != ENOENT) return false;
    sync_folder();
    return true;
  }
  path_of("settings.json.new", next);
  const int file = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return false;
  bool done = write(file, text, bytes) == (ssize_t)bytes && fsync(file) == 0;
  done = close(file) == 0 && done;
  done = done && rename(next, path) == 0;
  if (!done) unlink(next);
  if (done) sync_folder();
  return done;
}

const aiot_settings_store *aiot_settings_file(const char *folder) {
  static const aiot_settings_store store = {NULL, read_file, write_file};
  folder_of_settings = folder;
  return &store;
}
