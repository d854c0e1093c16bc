/*
 * Passes a microphone's samples between two tasks: one writes them as they arrive, and the other reads them for the model. If the reader
 * is too late, samples are dropped and counted, and the next ones start a new series, because a window must not contain a gap.
 */
#ifndef AIOT_SOUND_H
#define AIOT_SOUND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  int16_t *sample;
  /* A power of two. */
  uint32_t room;
  /* Numbers of samples written and read since the start. They may overflow. */
  atomic_uint_least32_t written;
  atomic_uint_least32_t read;
  atomic_uint_least32_t lost;
  /* Whether samples are missing before the next one that is written. Only the writer uses it. */
  bool broken;
  /* Whether samples are missing before the next one that is read. */
  atomic_bool gap;
} aiot_sound;

/* False if `room` is not a power of two. */
bool aiot_sound_init(aiot_sound *sound, int16_t *memory, size_t room);

/*
 * Writes the upper 16 bits of an I2S microphone's slots of 32 bits. After samples were dropped, further ones are dropped until the reader
 * has read all earlier ones.
 */
void aiot_sound_write(aiot_sound *sound, const int32_t *slots, size_t count);
/* Reports that `count` samples are missing (0 = their number is unknown), because the microphone was restarted or its driver lost them. */
void aiot_sound_break(aiot_sound *sound, size_t count);

/* Reads one sample as a share of full scale, from -1 to 1; false = none is there. `gap`: samples are missing before it. */
bool aiot_sound_read(aiot_sound *sound, double *value, bool *gap);
/* Number of samples that have been dropped since the start. */
uint32_t aiot_sound_lost(const aiot_sound *sound);

#endif
