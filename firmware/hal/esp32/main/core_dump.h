/* The tasks in a core dump in ELF, as ESP-IDF writes it to a partition. This part does not depend on a board. */
#ifndef AIOT_ESP32_CORE_DUMP_H
#define AIOT_ESP32_CORE_DUMP_H

#include "aiot/crash.h"

typedef struct {
  /* Reads bytes of the partition. */
  bool (*read)(void *context, uint32_t offset, void *out, size_t bytes);
  void *context;
  /* Size of the partition. */
  uint32_t bytes;
  /* Offset of a task's name in FreeRTOS's task control block, and the length of the field, including its NUL. */
  uint32_t name_offset;
  uint32_t name_bytes;
} aiot_core_dump;

/*
 * Reads the tasks, except the one that crashed. A task whose name is not readable is named by its address. Returns the number of tasks;
 * 0 if the dump is malformed.
 */
size_t aiot_core_dump_tasks(const aiot_core_dump *dump, aiot_crash_task *tasks, size_t most);

#endif
