#ifndef AIOT_PROGRAM_H
#define AIOT_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of each of the two slots of models, and of programs; as `aiot device simulate` has them for models. */
#define AIOT_HOST_SLOT_BYTES (1024u * 1024u)
#define AIOT_HOST_FLASH_BYTES (2u * 4096u + 2u * AIOT_HOST_SLOT_BYTES)

/* Two slots of configurations, a sector each. */
#define AIOT_HOST_CONFIG_BYTES (4u * 4096u)
#define AIOT_HOST_TRUST_BYTES (2u * 4096u)

/* How a program asks the launcher to go on: with the slot 0 or 1 for this once, or with what is active. */
enum { AIOT_EXIT_OK = 0, AIOT_EXIT_FAILED = 1, AIOT_EXIT_USAGE = 2, AIOT_EXIT_BUSY = 3, AIOT_EXIT_BOOT_SLOT = 40, AIOT_EXIT_RESTART = 42 };

typedef struct {
  const char *folder;
  /* Slot that this program was started from; -1 = it came with the launcher. */
  int slot;
  bool cbor;
  /* Goes on when its input has ended. */
  bool stay;
  /* It is a board of the guide's kind. */
  bool compat;
} aiot_program_options;

/* The device, until it is told to end. An exit code of those above. */
int aiot_program_run(const aiot_program_options *options);

/* The board that `guide.json` in the folder tells of, until it is told to end or its input does. */
int aiot_guide_run(const aiot_program_options *options);

/* Starts the program that is to run, and again whenever it wants: the computer's boot loader. The exit code of the last one. */
int aiot_launcher_run(const aiot_program_options *options, char *const *arguments);

#endif
