#ifndef AIOT_PROGRAM_H
#define AIOT_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

/* Size of each of the two model slots, and of the program slots; the same as in `aiot device simulate` for models. */
#define AIOT_HOST_SLOT_BYTES (1024u * 1024u)
#define AIOT_HOST_FLASH_BYTES (2u * 4096u + 2u * AIOT_HOST_SLOT_BYTES)

/* Two configuration slots, one sector each. */
#define AIOT_HOST_CONFIG_BYTES (4u * 4096u)
#define AIOT_HOST_TRUST_BYTES (2u * 4096u)

/* Exit codes that request a restart: with slot 0 or 1 for this once, or with the active one. */
enum { AIOT_EXIT_OK = 0, AIOT_EXIT_FAILED = 1, AIOT_EXIT_USAGE = 2, AIOT_EXIT_BUSY = 3, AIOT_EXIT_BOOT_SLOT = 40, AIOT_EXIT_RESTART = 42 };

typedef struct {
  const char *folder;
  /* Slot that this program was started from; -1 = it is the bundled one. */
  int slot;
  bool cbor;
  /* Whether it continues when its input has ended. */
  bool stay;
  /* Whether it is a board that uses the guide's protocol. */
  bool compat;
} aiot_program_options;

/* Runs the device until it is stopped. Returns one of the exit codes above. */
int aiot_program_run(const aiot_program_options *options);

/* Runs the board of the folder's `guide.json` until it is stopped or its input ends. */
int aiot_guide_run(const aiot_program_options *options);

/* Starts the selected program, and restarts it on request: the computer's boot loader. Returns the exit code of the last one. */
int aiot_launcher_run(const aiot_program_options *options, char *const *arguments);

#endif
