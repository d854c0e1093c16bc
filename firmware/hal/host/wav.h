/* Reads a WAV file in place of an I2S microphone. */
#ifndef AIOT_HOST_WAV_H
#define AIOT_HOST_WAV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "aiot/sound.h"

typedef struct {
  FILE *file;
  uint32_t rate_hz;
  /* Number of samples that have not been read yet. */
  uint32_t left;
} aiot_wav;

/* Opens a file with one channel of 16-bit PCM; false = the file has another format. */
bool aiot_wav_open(aiot_wav *wav, const char *path);
/* Writes up to `count` samples as the microphone's slots. Returns their number; 0 = the file has ended. */
size_t aiot_wav_read(aiot_wav *wav, aiot_sound *sound, size_t count);
void aiot_wav_close(aiot_wav *wav);

#endif
