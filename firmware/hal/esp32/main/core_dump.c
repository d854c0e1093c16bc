/*
 * Format: a header of ESP-IDF, then an ELF file of 32 bits, little-endian. Its notes contain a PRSTATUS for each task (the process ID is the
 * address of the task control block), and in "ESP_EXTRA_INFO" the address of the crashed task's control block. Its segments contain the
 * control blocks. Source: ESP-IDF, components/espcoredump (core_dump_elf.c, port/riscv and port/xtensa).
 */
#include "core_dump.h"

#include <string.h>

enum {
  FIRST_HEADER = 8,
  LAST_HEADER = 64,
  ELF_BYTES = 52,
  SEGMENT_BYTES = 32,
  MOST_SEGMENTS = 256,
  NOTE_BYTES = 12,
  LOAD = 1,
  NOTES = 4,
  XTENSA = 94,
  RISCV = 243,
  PRSTATUS = 1,
  EXTRA_INFO = 677,
  /* In a PRSTATUS: the process ID, and the registers. */
  PROCESS = 24,
  REGISTERS = 72,
  /* In the registers: the program counter, and the return address in `ra` (RISC-V) or `a0` (Xtensa). */
  PC = 0,
  RA = 4,
  A0 = 256,
  /* A dump has some hundred notes at most. A damaged one must not keep the board busy. */
  MOST_NOTES = 512,
};

typedef struct {
  const aiot_core_dump *dump;
  /* Offset of the ELF file. */
  uint32_t start;
  uint32_t segments_at;
  uint32_t segments;
  uint16_t machine;
  uint32_t notes;
} elf;

typedef struct {
  uint32_t kind, offset, address, bytes;
} segment;

typedef struct {
  uint32_t kind;
  /* Offset of its data in the ELF file. */
  uint32_t data;
  uint32_t bytes;
} note;

static uint32_t word(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool read_at(const elf *file, uint32_t offset, void *out, uint32_t bytes) {
  const aiot_core_dump *dump = file->dump;
  const uint64_t end = (uint64_t)file->start + offset + bytes;
  return end <= dump->bytes && dump->read(dump->context, file->start + offset, out, bytes);
}

static bool read_word(const elf *file, uint32_t offset, uint32_t *value) {
  uint8_t bytes[4];
  if (!read_at(file, offset, bytes, sizeof bytes)) return false;
  *value = word(bytes);
  return true;
}

/* Finds the ELF file. The header before it has 12, 20 or 24 bytes, depending on the version of ESP-IDF. */
static bool open_elf(const aiot_core_dump *dump, elf *file) {
  uint8_t header[ELF_BYTES];
  *file = (elf){.dump = dump};
  for (file->start = FIRST_HEADER; file->start <= LAST_HEADER; file->start += 4) {
    if (!read_at(file, 0, header, sizeof header)) return false;
    /* The magic number, then: 32 bits, little-endian. */
    if (memcmp(header, "\177ELF\1\1", 6) != 0) continue;
    file->machine = (uint16_t)(header[18] | header[19] << 8);
    file->segments_at = word(header + 28);
    file->segments = (uint32_t)(header[44] | header[45] << 8);
    return file->segments <= MOST_SEGMENTS && (header[42] | header[43] << 8) == SEGMENT_BYTES && file->segments_at < dump->bytes &&
           (file->machine == RISCV || file->machine == XTENSA);
  }
  return false;
}

static bool read_segment(const elf *file, uint32_t index, segment *out) {
  uint8_t bytes[SEGMENT_BYTES];
  if (!read_at(file, file->segments_at + index * SEGMENT_BYTES, bytes, sizeof bytes)) return false;
  *out = (segment){word(bytes), word(bytes + 4), word(bytes + 8), word(bytes + 16)};
  return out->offset < file->dump->bytes && out->bytes <= file->dump->bytes;
}

static uint32_t padded(uint32_t bytes) { return (bytes + 3) & ~(uint32_t)3; }

/* Reads the note at `*at` bytes into the segment, and moves on to the next one. */
static bool next_note(elf *file, const segment *of, uint32_t *at, note *out) {
  uint8_t bytes[NOTE_BYTES];
  if (*at >= of->bytes || of->bytes - *at < NOTE_BYTES || file->notes++ >= MOST_NOTES) return false;
  if (!read_at(file, of->offset + *at, bytes, sizeof bytes)) return false;
  const uint32_t left = of->bytes - *at - NOTE_BYTES, data = word(bytes + 4);
  if (word(bytes) > left || data > left) return false;
  /* Both are padded to words; in some versions of ESP-IDF, the name's length includes this. */
  const uint32_t name = padded(word(bytes));
  if (name > left || data > left - name) return false;
  *out = (note){word(bytes + 8), of->offset + *at + NOTE_BYTES + name, data};
  *at += NOTE_BYTES + name + padded(data);
  return true;
}

/* Address of the crashed task's control block; 0 = unknown. */
static uint32_t crashed_task(elf *file) {
  segment part;
  note one;
  uint32_t block = 0;
  for (uint32_t i = 0; i < file->segments && read_segment(file, i, &part); i++) {
    if (part.kind != NOTES) continue;
    for (uint32_t at = 0; next_note(file, &part, &at, &one);) {
      if (one.kind == EXTRA_INFO && one.bytes >= 4 && read_word(file, one.data, &block)) return block;
    }
  }
  return 0;
}

static void name_by_address(uint32_t block, char out[AIOT_TASK_NAME_BYTES]) {
  memcpy(out, "0x", 2);
  for (int i = 0; i < 8; i++) out[2 + i] = "0123456789abcdef"[block >> (28 - 4 * i) & 15];
  out[10] = '\0';
}

/* Whether this is a name: printable characters of ASCII. */
static bool is_name(const char *name) {
  if (*name == '\0') return false;
  for (; *name != '\0'; name++) {
    if (*name < ' ' || *name > '~') return false;
  }
  return true;
}

static void read_name(const elf *file, uint32_t block, char out[AIOT_TASK_NAME_BYTES]) {
  const aiot_core_dump *dump = file->dump;
  const uint32_t bytes = dump->name_bytes < AIOT_TASK_NAME_BYTES ? dump->name_bytes : AIOT_TASK_NAME_BYTES;
  segment part;
  for (uint32_t i = 0; i < file->segments && read_segment(file, i, &part); i++) {
    if (part.kind != LOAD || part.address != block) continue;
    if (bytes == 0 || dump->name_offset > part.bytes || bytes > part.bytes - dump->name_offset) break;
    if (!read_at(file, part.offset + dump->name_offset, out, bytes)) break;
    out[bytes - 1] = '\0';
    if (is_name(out)) return;
    break;
  }
  name_by_address(block, out);
}

/* Xtensa stores the size of the caller's window in the highest two bits. Code is in the chip's second gigabyte. */
static uint32_t return_address(const elf *file, uint32_t value) {
  return file->machine == XTENSA && value != 0 ? (value & 0x3fffffffu) | 0x40000000u : value;
}

static bool read_task(const elf *file, const note *status, uint32_t block, aiot_crash_task *task) {
  const uint32_t ra_at = REGISTERS + (file->machine == XTENSA ? A0 : RA);
  uint32_t pc = 0, ra = 0;
  if (status->bytes < ra_at + 4 || !read_word(file, status->data + REGISTERS + PC, &pc) || !read_word(file, status->data + ra_at, &ra)) {
    return false;
  }
  read_name(file, block, task->name);
  task->depth = 0;
  if (pc != 0) task->calls[task->depth++] = return_address(file, pc);
  if (pc != 0 && ra != 0) task->calls[task->depth++] = return_address(file, ra);
  return true;
}

size_t aiot_core_dump_tasks(const aiot_core_dump *dump, aiot_crash_task *tasks, size_t most) {
  elf file;
  segment part;
  note one;
  size_t count = 0;
  if (!open_elf(dump, &file)) return 0;
  const uint32_t crashed = crashed_task(&file);
  file.notes = 0;
  for (uint32_t i = 0; i < file.segments && read_segment(&file, i, &part); i++) {
    if (part.kind != NOTES) continue;
    for (uint32_t at = 0; count < most && next_note(&file, &part, &at, &one);) {
      uint32_t block;
      if (one.kind != PRSTATUS || one.bytes < REGISTERS || !read_word(&file, one.data + PROCESS, &block) || block == crashed) continue;
      if (read_task(&file, &one, block, &tasks[count])) count++;
    }
  }
  return count;
}
