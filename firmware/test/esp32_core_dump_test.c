/* The tasks of core dumps: of both architectures, damaged and truncated ones. */
#include "core_dump.h"

#include "check.h"
#include "sim_core_dump.h"

typedef struct {
  const uint8_t *bytes;
  uint32_t size;
  bool beyond;
  int reads;
} partition;

static bool read_bytes(void *context, uint32_t offset, void *out, size_t bytes) {
  partition *self = context;
  self->reads++;
  if (offset > self->size || bytes > self->size - offset) {
    self->beyond = true;
    return false;
  }
  memcpy(out, self->bytes + offset, bytes);
  return true;
}

static aiot_core_dump dump_of(partition *from) {
  return (aiot_core_dump){.read = read_bytes, .context = from, .bytes = from->size, .name_offset = SIM_NAME_AT, .name_bytes = SIM_NAME_BYTES};
}

static const sim_task all[] = {
    {0x3fc91ac0, "aiot", 0x4200583c, 0x42005836},
    {0x3fc9110c, "aiot-http", 0x40382dae, 0x40386012},
    /* No pointer to follow; a name that fills its field; one that is no text; none. */
    {0x3fc90360, "IDLE", 0x4200c012, 0},
    {0x3fc8ea68, "a_name_too_long", 0x40385ea8, 0x4},
    {0x3fc8ea00, "\x01\x02", 0x40385ea8, 0x4},
    {0x3fc8e900, "", 0, 0x4},
};
enum { ALL = sizeof all / sizeof *all };

static void test_whole(checks *c) {
  static uint8_t bytes[SIM_DUMP_BYTES];
  static const char *const names[] = {"aiot-http", "IDLE", "a_name_too_long", "0x3fc8ea00", "0x3fc8e900"};
  static const uint32_t depths[] = {2, 1, 2, 2, 0};
  static const uint32_t headers[] = {12, 20, 24};
  aiot_crash_task tasks[ALL];
  for (size_t i = 0; i < 6; i++) {
    const bool xtensa = i >= 3;
    partition part = {.bytes = bytes, .size = sim_core_dump(bytes, headers[i % 3], xtensa, all, ALL, all[0].block)};
    const aiot_core_dump dump = dump_of(&part);
    check_equal(c, "tasks without the crashed one", i, ALL - 1, (int64_t)aiot_core_dump_tasks(&dump, tasks, ALL));
    for (size_t k = 0; k < ALL - 1; k++) {
      check_at(c, "name", tasks[k].name, k, strcmp(tasks[k].name, names[k]) == 0);
      check_equal(c, "calls", k, depths[k], tasks[k].depth);
    }
    check_equal(c, "program counter", i, 0x40382dae, (int64_t)tasks[0].calls[0]);
    check_equal(c, "return address", i, 0x40386012, (int64_t)tasks[0].calls[1]);
    check_at(c, "whole", "stays in the partition", i, !part.beyond);
    check_equal(c, "no more than there is memory for", i, 2, (int64_t)aiot_core_dump_tasks(&dump, tasks, 2));
  }
  /* Xtensa's return addresses contain the size of a window, and stored program counters lack the highest bits. */
  const sim_task window = {0x3ffb1000, "main", 0x000d1f22, 0x800d2010};
  partition part = {.bytes = bytes, .size = sim_core_dump(bytes, 24, true, &window, 1, 0)};
  const aiot_core_dump dump = dump_of(&part);
  check_equal(c, "a task", 0, 1, (int64_t)aiot_core_dump_tasks(&dump, tasks, ALL));
  check_equal(c, "program counter", 9, 0x400d1f22, (int64_t)tasks[0].calls[0]);
  check_equal(c, "return address", 9, 0x400d2010, (int64_t)tasks[0].calls[1]);
}

/* Without its name's place, a task has the name of its address. */
static void test_nameless(checks *c) {
  static uint8_t bytes[SIM_DUMP_BYTES];
  aiot_crash_task tasks[ALL];
  partition part = {.bytes = bytes, .size = sim_core_dump(bytes, 24, false, all, ALL, 0)};
  aiot_core_dump dump = dump_of(&part);
  const uint32_t places[][2] = {{SIM_BLOCK_BYTES, 16}, {0xffffffffu, 16}, {SIM_NAME_AT, 0}};
  for (size_t i = 0; i < 3; i++) {
    dump.name_offset = places[i][0];
    dump.name_bytes = places[i][1];
    check_equal(c, "all tasks", i, ALL, (int64_t)aiot_core_dump_tasks(&dump, tasks, ALL));
    check_at(c, "nameless", tasks[0].name, i, strcmp(tasks[0].name, "0x3fc91ac0") == 0);
  }
}

static void check_damaged(checks *c, const uint8_t *bytes, uint32_t size, size_t row) {
  aiot_crash_task tasks[ALL];
  partition part = {.bytes = bytes, .size = size};
  const aiot_core_dump dump = dump_of(&part);
  const size_t count = aiot_core_dump_tasks(&dump, tasks, ALL);
  bool good = count <= ALL && !part.beyond && part.reads < 300000;
  for (size_t i = 0; i < count; i++) {
    good = good && tasks[i].depth <= AIOT_TASK_CALLS && memchr(tasks[i].name, '\0', AIOT_TASK_NAME_BYTES) != NULL && tasks[i].name[0] != '\0';
  }
  check_at(c, "damaged", "bounded", row, good);
}

/* Each bit is flipped, each word becomes the largest one, each length is cut, and random bytes are written. */
static void test_damage(checks *c) {
  static uint8_t bytes[SIM_DUMP_BYTES], damaged[SIM_DUMP_BYTES];
  const uint32_t size = sim_core_dump(bytes, 24, false, all, ALL, all[0].block);
  for (uint32_t cut = 0; cut <= size; cut++) check_damaged(c, bytes, cut, cut);
  memcpy(damaged, bytes, size);
  for (uint32_t at = 0; at < size; at++) {
    for (int bit = 0; bit < 8; bit++) {
      damaged[at] = (uint8_t)(bytes[at] ^ 1 << bit);
      check_damaged(c, damaged, size, at);
    }
    damaged[at] = bytes[at];
  }
  for (uint32_t at = 0; at + 4 <= size; at += 4) {
    memset(damaged + at, 0xff, 4);
    check_damaged(c, damaged, size, at);
    memcpy(damaged + at, bytes + at, 4);
  }
  uint32_t random = 1;
  for (size_t round = 0; round < 20000; round++) {
    memcpy(damaged, bytes, size);
    for (int i = 0; i < 8; i++) {
      random = random * 1664525u + 1013904223u;
      const uint32_t most = round % 2 == 0 ? 24 + 52 + 32 * (ALL + 2) : size;
      damaged[(random >> 8) % most] = (uint8_t)(random >> 24);
    }
    check_damaged(c, damaged, size, round);
  }
}

int main(void) {
  checks c = {0, 0};
  test_whole(&c);
  test_nameless(&c);
  test_damage(&c);
  return checks_end(&c);
}
