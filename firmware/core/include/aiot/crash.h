/*
 * Reports of a crash of the device's program, which the chip stored before it restarted (docs/reference/protocol.md#crash). The
 * platform stores each id once, so a device may send a report again until it was acknowledged.
 */
#ifndef AIOT_CRASH_H
#define AIOT_CRASH_H

#include "aiot/device.h"

typedef struct {
  const char *name;
  uint64_t value;
} aiot_register;

#define AIOT_TASK_NAME_BYTES 16
#define AIOT_TASK_CALLS 2

/* Another task at the time of the crash. */
typedef struct {
  char name[AIOT_TASK_NAME_BYTES];
  /* Where it waited, innermost first. */
  uint64_t calls[AIOT_TASK_CALLS];
  uint32_t depth;
} aiot_crash_task;

typedef struct {
  /* Chosen by the device, at most 64 characters. */
  const char *id;
  /* Time of the crash, ms since 1970; 0 = unknown. */
  int64_t t;
  /* "exception", "abort", "watchdog", "stack-overflow", "out-of-memory" or "other". */
  const char *kind;
  /* The cause in words, at most 300 characters. */
  const char *reason;
  /* Version of the program that crashed, and the start of its ELF file's digest in hex; NULL = unknown. */
  const char *version;
  const char *build;
  /* Name of the task that crashed; NULL = unknown. */
  const char *task;
  /* Return addresses, innermost first; the first one is the address of the crash. */
  const uint64_t *calls;
  size_t depth;
  const aiot_register *registers;
  size_t register_count;
  /* The task's stack from its lowest address. */
  uint64_t stack_address;
  const uint8_t *stack;
  size_t stack_bytes;
  /* Other tasks. */
  const aiot_crash_task *tasks;
  size_t task_count;
  /* Maximum number of calls of each of them; 0 = all. */
  uint32_t task_depth;
  /* Last lines of the log before the crash; NULL = unknown. */
  const aiot_tail *log;
  /* Reason for the restart after the crash, as in aiot_vitals; NULL = unknown. */
  const char *reset;
  /* Maximum size of the message, bytes; 0 = as many as fit into the device's memory. */
  size_t most_bytes;
} aiot_crash;

/* Writes a `crash` message. Returns its size; 0 if it does not fit into the message's memory. */
size_t aiot_crash_message(aiot_message message, const char *firmware, const aiot_crash *crash);

/*
 * Queues the report. If it does not fit into the message buffer or the queue, or exceeds its maximum size, the stack is halved and then
 * left out, then the other tasks' second calls, half of these tasks, all of them, the registers, and the log. Returns false if it does not
 * fit even then.
 */
bool aiot_device_crash(aiot_device *device, const aiot_crash *crash);

#endif
