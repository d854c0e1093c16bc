#include "aiot/sound.h"

bool aiot_sound_init(aiot_sound *sound, int16_t *memory, size_t room) {
  if (room == 0 || room > UINT32_MAX / 2 || (room & (room - 1)) != 0) return false;
  sound->sample = memory;
  sound->room = (uint32_t)room;
  atomic_init(&sound->written, 0);
  atomic_init(&sound->read, 0);
  atomic_init(&sound->lost, 0);
  atomic_init(&sound->gap, false);
  sound->broken = false;
  return true;
}

void aiot_sound_break(aiot_sound *sound, size_t count) {
  atomic_fetch_add(&sound->lost, (uint32_t)count);
  sound->broken = true;
}

void aiot_sound_write(aiot_sound *sound, const int32_t *slots, size_t count) {
  uint32_t written = atomic_load_explicit(&sound->written, memory_order_relaxed);
  const uint32_t waiting = written - atomic_load_explicit(&sound->read, memory_order_acquire);
  if (sound->broken && waiting > 0) {
    aiot_sound_break(sound, count);
    return;
  }
  /* The reader has read everything, so it sees the gap only together with the samples after it. */
  if (sound->broken && count > 0) {
    atomic_store_explicit(&sound->gap, true, memory_order_relaxed);
    sound->broken = false;
  }
  const size_t fit = sound->room - waiting < count ? sound->room - waiting : count;
  for (size_t i = 0; i < fit; i++) sound->sample[written++ & (sound->room - 1)] = (int16_t)((uint32_t)slots[i] >> 16);
  atomic_store_explicit(&sound->written, written, memory_order_release);
  if (fit < count) aiot_sound_break(sound, count - fit);
}

bool aiot_sound_read(aiot_sound *sound, double *value, bool *gap) {
  const uint32_t read = atomic_load_explicit(&sound->read, memory_order_relaxed);
  if (atomic_load_explicit(&sound->written, memory_order_acquire) == read) return false;
  *value = (double)sound->sample[read & (sound->room - 1)] / 32768;
  *gap = atomic_exchange_explicit(&sound->gap, false, memory_order_relaxed);
  atomic_store_explicit(&sound->read, read + 1, memory_order_release);
  return true;
}

uint32_t aiot_sound_lost(const aiot_sound *sound) { return (uint32_t)atomic_load(&sound->lost); }
