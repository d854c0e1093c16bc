/*
 * Writes a core dump like ESP-IDF's: its header, an ELF file with a segment of PRSTATUS notes, a control block for each task, and a segment
 * of notes about the crash.
 */
#ifndef AIOT_TEST_SIM_CORE_DUMP_H
#define AIOT_TEST_SIM_CORE_DUMP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  uint32_t block;
  const char *name;
  uint32_t pc, ra;
} sim_task;

enum { SIM_NAME_AT = 52, SIM_NAME_BYTES = 16, SIM_BLOCK_BYTES = 80, SIM_DUMP_BYTES = 8192 };

static inline void sim_word(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

/* `padded`: the name's length includes its padding. */
static inline uint32_t sim_note(uint8_t *at, const char *name, bool padded, uint32_t kind, uint32_t bytes) {
  const uint32_t length = (uint32_t)strlen(name) + 1, name_bytes = (length + 3) & ~3u;
  sim_word(at, padded ? name_bytes : length);
  sim_word(at + 4, bytes);
  sim_word(at + 8, kind);
  memcpy(at + 12, name, strlen(name));
  return 12 + name_bytes;
}

static inline void sim_segment(uint8_t *at, uint32_t kind, uint32_t offset, uint32_t address, uint32_t bytes) {
  sim_word(at, kind);
  sim_word(at + 4, offset);
  sim_word(at + 8, address);
  sim_word(at + 12, address);
  sim_word(at + 16, bytes);
  sim_word(at + 20, bytes);
}

/* `header`: bytes before the ELF file; the newest versions of ESP-IDF have 12. `crashed`: the crashed task's control block. Returns the size of the dump. */
static inline uint32_t sim_core_dump(uint8_t out[SIM_DUMP_BYTES], uint32_t header, bool xtensa, const sim_task *tasks, uint32_t count, uint32_t crashed) {
  const uint32_t status = xtensa ? 72 + 4 * (8 + 56 + 64) : 204, segments = count + 2;
  uint8_t *const elf = out + header;
  memset(out, 0, SIM_DUMP_BYTES);
  memcpy(elf, "\177ELF\1\1\1", 7);
  elf[16] = 4;
  elf[18] = xtensa ? 94 : 243;
  sim_word(elf + 28, 52);
  elf[42] = 32;
  elf[44] = (uint8_t)segments;
  uint32_t at = 52 + 32 * segments, begin = at;
  for (uint32_t i = 0; i < count; i++) {
    at += sim_note(elf + at, "CORE", header != 12, 1, status);
    sim_word(elf + at + 24, tasks[i].block);
    sim_word(elf + at + 72, tasks[i].pc);
    sim_word(elf + at + (xtensa ? 72 + 256 : 76), tasks[i].ra);
    at += status;
  }
  sim_segment(elf + 52, 4, begin, 0, at - begin);
  for (uint32_t i = 0; i < count; i++) {
    memcpy(elf + at + SIM_NAME_AT, tasks[i].name, strlen(tasks[i].name));
    sim_segment(elf + 52 + 32 * (i + 1), 1, at, tasks[i].block, SIM_BLOCK_BYTES);
    at += SIM_BLOCK_BYTES;
  }
  begin = at;
  at += sim_note(elf + at, "ESP_CORE_DUMP_INFO", header != 12, 8266, 4) + 4;
  at += sim_note(elf + at, "ESP_EXTRA_INFO", header != 12, 677, 4);
  sim_word(elf + at, crashed);
  at += 4;
  sim_segment(elf + 52 + 32 * (count + 1), 4, begin, 0, at - begin);
  sim_word(out, header + at);
  return header + at;
}

#endif
