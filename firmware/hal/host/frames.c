#include "frames.h"

#include <ctype.h>
#include <stdio.h>

/* Reads a number of the header, and the character after it. Comments begin with #. False = there is none. */
static bool read_number(FILE *file, size_t *value) {
  int sign = fgetc(file);
  while (isspace(sign) || sign == '#') {
    while (sign == '#' && sign != EOF) {
      while (sign != '\n' && sign != EOF) sign = fgetc(file);
    }
    if (sign != EOF) sign = fgetc(file);
  }
  if (!isdigit(sign)) return false;
  for (*value = 0; isdigit(sign) && *value < 100000; sign = fgetc(file)) *value = *value * 10 + (size_t)(sign - '0');
  return isspace(sign) != 0;
}

/* The upper 5, 6 and 5 bits of each color, the upper byte first. */
static void pack(uint8_t *data, size_t pixels) {
  for (size_t i = 0; i < pixels; i++) {
    const unsigned red = data[3 * i], green = data[3 * i + 1], blue = data[3 * i + 2];
    const unsigned value = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3;
    data[2 * i] = (uint8_t)(value >> 8);
    data[2 * i + 1] = (uint8_t)value;
  }
}

static bool read_file(FILE *file, aiot_frame *frame, uint8_t *memory, size_t room) {
  size_t most = 0;
  const bool gray = frame->format == AIOT_PIXELS_GRAY;
  if (fgetc(file) != 'P' || fgetc(file) != (gray ? '5' : '6')) return false;
  if (!read_number(file, &frame->width) || !read_number(file, &frame->height) || !read_number(file, &most) || most != 255) return false;
  const size_t bytes = frame->width * frame->height * (gray ? 1u : 3u);
  if (bytes == 0 || bytes > room || fread(memory, 1, bytes, file) != bytes) return false;
  frame->data = memory;
  frame->bytes = bytes;
  if (frame->format != AIOT_PIXELS_RGB565) return true;
  pack(memory, frame->width * frame->height);
  frame->bytes = 2 * frame->width * frame->height;
  return true;
}

bool aiot_frame_read(aiot_frame *frame, const char *path, aiot_pixels format, uint8_t *memory, size_t room) {
  *frame = (aiot_frame){.format = format};
  FILE *file = fopen(path, "rb");
  if (file == NULL) return false;
  const bool read = read_file(file, frame, memory, room);
  fclose(file);
  return read;
}
