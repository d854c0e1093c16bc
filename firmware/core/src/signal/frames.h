/*
 * Frames of a window, found as the samples arrive. Only one frame of samples and a row of values for each frame of the window are stored.
 */
#ifndef AIOT_SIGNAL_FRAMES_H
#define AIOT_SIGNAL_FRAMES_H

#include <stdbool.h>
#include <stddef.h>

/* A sample between two frames. */
#define AIOT_FRAMES_GAP ((size_t)-1)

typedef struct {
  /* Samples of a frame, and from the start of one frame to the start of the next. */
  size_t frame;
  size_t hop;
  /* Samples in the current frame. */
  size_t filled;
  /* Samples to skip before the next frame, if the hop is longer than the frame. */
  size_t gap;
  /* Rows of the current window. */
  size_t ready;
  /* Frames to skip before the next one of the window. */
  size_t skip;
  /* Rows to remove before the next sample is taken: the values remain valid until then. */
  size_t remove;
} aiot_frames;

/* Place of the next sample in the frame, or AIOT_FRAMES_GAP. Removes the `row_bytes` of each frame that the window has left behind. */
size_t aiot_frames_place(aiot_frames *frames, void *rows, size_t row_bytes);

/* Whether the sample completed a frame that needs a row, whose index is then in `row`. */
bool aiot_frames_full(aiot_frames *frames, size_t *row);

/* Moves a complete frame's samples to the start of the next one. */
void aiot_frames_slide(aiot_frames *frames, void *samples, size_t sample_bytes);

/* The next sample belongs to a window that starts this many samples after the current one, or to a separate window. */
void aiot_frames_advance(aiot_frames *frames, size_t samples);
void aiot_frames_restart(aiot_frames *frames);

#endif
