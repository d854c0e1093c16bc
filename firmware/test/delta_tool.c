/*
 * Applies patches for tests of the TypeScript implementation. Each input line is BASE PATCH BYTES OUT: three files and the size
 * of the result. Each output line is done, short (the result is too small) or broken.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/delta.h"

typedef struct {
  uint8_t *bytes;
  size_t count;
} file;

static file read_file(const char *path) {
  file f = {NULL, 0};
  FILE *in = fopen(path, "rb");
  if (in == NULL || fseek(in, 0, SEEK_END) != 0) exit(2);
  f.count = (size_t)ftell(in);
  rewind(in);
  f.bytes = malloc(f.count + 1);
  if (f.bytes == NULL || fread(f.bytes, 1, f.count, in) != f.count) exit(2);
  fclose(in);
  return f;
}

static bool read_base(void *context, uint32_t offset, void *out, size_t bytes) {
  const file *base = context;
  if (offset > base->count || bytes > base->count - offset) exit(3);
  memcpy(out, base->bytes + offset, bytes);
  return true;
}

static const char *apply(file *base, const file *patch, uint32_t total, FILE *out) {
  static aiot_delta delta;
  aiot_delta_begin(&delta, read_base, base, (uint32_t)base->count, total);
  for (size_t at = 0; at < patch->count;) {
    const size_t piece = patch->count - at < 37 ? patch->count - at : 37;
    for (size_t taken = 0;;) {
      uint8_t room[100];
      size_t used;
      const uint32_t before = delta.made;
      const aiot_delta_state state = aiot_delta_push(&delta, patch->bytes + at + taken, piece - taken, &used, room, sizeof room);
      fwrite(room, 1, delta.made - before, out);
      taken += used;
      if (state == AIOT_DELTA_BROKEN) return "broken";
      if (state == AIOT_DELTA_NEEDS) break;
    }
    at += piece;
  }
  return aiot_delta_done(&delta) ? "done" : "short";
}

int main(void) {
  char base_path[512], patch_path[512], out_path[512];
  uint32_t total;
  while (scanf("%511s %511s %" SCNu32 " %511s", base_path, patch_path, &total, out_path) == 4) {
    file base = read_file(base_path), patch = read_file(patch_path);
    FILE *out = fopen(out_path, "wb");
    if (out == NULL) return 2;
    puts(apply(&base, &patch, total, out));
    fclose(out);
    free(base.bytes);
    free(patch.bytes);
  }
  return 0;
}
