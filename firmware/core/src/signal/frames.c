#include "frames.h"

#include <string.h>

size_t aiot_frames_place(aiot_frames *frames, void *rows, size_t row_bytes) {
  if (frames->remove > 0) {
    memmove(rows, (char *)rows + frames->remove * row_bytes, (frames->ready - frames->remove) * row_bytes);
    frames->ready -= frames->remove;
    frames->remove = 0;
  }
  if (frames->gap > 0) {
    frames->gap--;
    return AIOT_FRAMES_GAP;
  }
  return frames->filled++;
}

bool aiot_frames_full(aiot_frames *frames, size_t *row) {
  if (frames->filled < frames->frame) return false;
  if (frames->skip > 0) {
    frames->skip--;
    return false;
  }
  *row = frames->ready++;
  return true;
}

void aiot_frames_slide(aiot_frames *frames, void *samples, size_t sample_bytes) {
  const size_t frame = frames->frame, hop = frames->hop;
  if (frames->filled < frame) return;
  if (hop < frame) {
    memmove(samples, (char *)samples + hop * sample_bytes, (frame - hop) * sample_bytes);
    frames->filled = frame - hop;
  } else {
    frames->filled = 0;
    frames->gap = hop - frame;
  }
}

void aiot_frames_advance(aiot_frames *frames, size_t samples) {
  const size_t rows = samples / frames->hop;
  frames->remove = rows < frames->ready ? rows : frames->ready;
  frames->skip = rows - frames->remove;
}

void aiot_frames_restart(aiot_frames *frames) {
  frames->filled = 0;
  frames->gap = 0;
  frames->ready = 0;
  frames->skip = 0;
  frames->remove = 0;
}
