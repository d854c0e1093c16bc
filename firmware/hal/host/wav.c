#include "wav.h"

#include <string.h>

static uint32_t little(const uint8_t *bytes, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

/* Reads the format: PCM, one channel, 16 bits. */
static bool read_format(aiot_wav *wav, uint32_t bytes) {
  uint8_t format[16];
  if (bytes < sizeof format || fread(format, 1, sizeof format, wav->file) != sizeof format) return false;
  wav->rate_hz = little(format + 4, 4);
  const bool fits = little(format, 2) == 1 && little(format + 2, 2) == 1 && little(format + 14, 2) == 16;
  return fits && wav->rate_hz > 0 && fseek(wav->file, (long)(bytes - sizeof format + (bytes & 1)), SEEK_CUR) == 0;
}

/* Finds the samples. The format precedes them; other chunks are skipped. */
static bool find_samples(aiot_wav *wav) {
  uint8_t head[12], chunk[8];
  if (fread(head, 1, sizeof head, wav->file) != sizeof head) return false;
  if (memcmp(head, "RIFF", 4) != 0 || memcmp(head + 8, "WAVE", 4) != 0) return false;
  while (fread(chunk, 1, sizeof chunk, wav->file) == sizeof chunk) {
    const uint32_t bytes = little(chunk + 4, 4);
    if (memcmp(chunk, "data", 4) == 0) {
      wav->left = bytes / 2;
      return wav->rate_hz > 0;
    }
    if (memcmp(chunk, "fmt ", 4) == 0) {
      if (!read_format(wav, bytes)) return false;
    } else if (bytes > INT32_MAX - 1 || fseek(wav->file, (long)(bytes + (bytes & 1)), SEEK_CUR) != 0) {
      return false;
    }
  }
  return false;
}

bool aiot_wav_open(aiot_wav *wav, const char *path) {
  *wav = (aiot_wav){.file = fopen(path, "rb")};
  if (wav->file == NULL) return false;
  if (find_samples(wav)) return true;
  aiot_wav_close(wav);
  return false;
}

size_t aiot_wav_read(aiot_wav *wav, aiot_sound *sound, size_t count) {
  int32_t slots[64];
  size_t done = 0;
  while (done < count && wav->left > 0) {
    uint8_t bytes[2 * 64];
    const size_t most = count - done < 64 ? count - done : 64, wanted = most < wav->left ? most : wav->left;
    const size_t got = fread(bytes, 2, wanted, wav->file);
    /* The lower bits are noise, which must not matter. */
    for (size_t i = 0; i < got; i++) slots[i] = (int32_t)(little(bytes + 2 * i, 2) << 16 | 0xa5a5u);
    aiot_sound_write(sound, slots, got);
    done += got;
    wav->left = got < wanted ? 0 : wav->left - (uint32_t)got;
  }
  return done;
}

void aiot_wav_close(aiot_wav *wav) {
  if (wav->file != NULL) fclose(wav->file);
  wav->file = NULL;
}
